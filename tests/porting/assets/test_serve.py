"""The loader of exported programs, where this package is not."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from tests.models.comparison import error
from tests.porting.random_models import VIT, random_model
from vlp_jax import endpoints
from vlp_jax.parallel.mesh import MeshSpec

TEXTS = ["a cat", "", "cat " * 50]
OUTSIDE = """
import json, sys
sys.path = [p for p in sys.path if p] + [{folder!r}]
from serve import Model
import numpy as np
from PIL import Image
model = Model()
pictures = [Image.fromarray(x) for x in np.load({pictures!r}).astype(np.uint8)]
found = [model.encode_image(pictures), model.encode_text({texts!r})]
print(json.dumps([x.tolist() for x in found] + ["vlp_jax" in sys.modules]))
none = model.encode_image([]), model.encode_text([])
alone = model.encode_image(pictures[0]), model.encode_text("a cat")
assert all(x.shape == (1, none[0].shape[1]) for x in alone)
assert none[0].shape == none[1].shape == (0, found[0].shape[1])
"""


def run(cwd, *arguments) -> str:
    """What Python prints outside of this repository."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={"PATH": "", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("resize", ["shortest", "shortest_floor", "squash"])
def test_it_encodes_as_the_model_does(resize, tmp_path):
    model = random_model(VIT, resize=resize)
    folder = endpoints.write(f"export:{tmp_path / 'tiny'}", model)
    pictures = np.random.default_rng(1).integers(0, 256, (3, 20, 30, 3))
    np.save(tmp_path / "pictures.npy", pictures)
    names = {"folder": str(folder), "pictures": str(tmp_path / "pictures.npy")}
    printed = run(tmp_path, "-c", OUTSIDE.format(**names, texts=TEXTS))
    image, text, imported = json.loads(printed.splitlines()[-1])
    assert not imported
    predictor = model.predictor(MeshSpec().make(jax.devices()[:1]), 4)
    pictures = [Image.fromarray(x.astype(np.uint8)) for x in pictures]
    prepared = np.stack([predictor.prepare_image(x) for x in pictures])
    assert error(image, predictor.encode_image(prepared)) <= 1e-5
    assert error(text, predictor.encode_text(TEXTS)) <= 1e-5


def test_it_can_be_tried_from_the_command_line(tmp_path):
    folder = endpoints.write(f"export:{tmp_path / 'tiny'}", random_model(VIT))
    printed = run(tmp_path, str(folder / "serve.py"))
    assert "1 picture and 2 texts encoded, 12 numbers each" in printed

"""Exported programs compute what the model does, and need nothing of this package."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.models import clip_pair
from tests.models.comparison import error
from vlp_jax import endpoints, proof
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.portable import Portable, from_settings

SETTINGS = {
    "embedding_size": 12,
    "image": {"kind": "vit", "width": 24, "depth": 2, "heads": 3, "patch_size": 4},
    "text": {"kind": "transformer", "width": 16, "depth": 2, "heads": 2},
}
OUTSIDE = """
import json, sys
sys.path = [p for p in sys.path if p] + [{folder!r}]
from serve import Model
import numpy as np
from PIL import Image
model = Model()
pictures = [Image.fromarray(x) for x in np.load({pictures!r}).astype(np.uint8)]
found = [model.encode_image(pictures), model.encode_text(["a cat", "", "cat " * 50])]
print(json.dumps([x.tolist() for x in found] + ["vlp_jax" in sys.modules]))
none = model.encode_image([]), model.encode_text([])
assert model.encode_text("a cat").shape == (1, none[0].shape[1])
assert none[0].shape == none[1].shape == (0, found[0].shape[1])
"""


@pytest.fixture(scope="module", params=["shortest", "shortest_floor", "squash"])
def model(request) -> Portable:
    """A tiny CLIP with random weights, large enough to matter."""
    import jax

    from vlp_jax import build, recipe
    from vlp_jax.core import trees

    tokenizer = Tokenizer.train(["a cat on a mat"], 300, 10)
    config = recipe.pretraining()
    for tower in ("image", "text"):
        config.model[tower].update(SETTINGS[tower])
    config.model.embedding_size = 12
    picture = {
        "image_size": 12,
        "resize": request.param,
        "interpolation": "bicubic",
        "mean": clip_pair.MEAN,
        "std": clip_pair.STD,
    }
    config.preprocessing.update(picture)
    module = build.make_model(config, build.make_preprocessing(config), tokenizer)
    shapes = jax.eval_shape(build.init_function(module, 12, 10), jax.random.key(0))
    rng = np.random.default_rng(0)
    weights = {
        path: (0.3 * rng.normal(size=x.shape)).astype(np.float32)
        for path, x in trees.flatten(shapes["params"]).items()
    }
    return from_settings("tiny", SETTINGS, picture, tokenizer, weights)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "tiny"
    return endpoints.write(f"export:{path}", model)


def test_they_do_not_tell_where_they_were_made(folder):
    here = str(Path(__file__).parents[2]).encode()
    for name in ("image.bin", "text.bin"):
        program = (folder / name).read_bytes()
        assert b"layers.py" in program and here not in program


def test_they_prove_themselves(model, folder):
    (found,) = proof.prove("export", folder, model)
    assert found.side == "the exported programs" and found.holds


def test_they_run_without_this_package(model, folder, tmp_path):
    pictures = np.random.default_rng(1).integers(0, 256, (3, 20, 30, 3))
    np.save(tmp_path / "pictures.npy", pictures)
    code = OUTSIDE.format(folder=str(folder), pictures=str(tmp_path / "pictures.npy"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": "", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    image, text, imported = json.loads(done.stdout.splitlines()[-1])
    assert not imported
    import jax

    mesh = jax.sharding.Mesh(
        np.array(jax.devices()[:1]).reshape(1, 1, 1), ("data", "fsdp", "tensor")
    )
    predictor = model.predictor(mesh, 4)
    prepared = [
        predictor.prepare_image(Image.fromarray(x.astype(np.uint8))) for x in pictures
    ]
    assert error(image, predictor.encode_image(np.stack(prepared))) <= 1e-5
    expected = predictor.encode_text(["a cat", "", "cat " * 50])
    assert error(text, expected) <= 1e-5


def test_they_are_not_read(folder):
    with pytest.raises(ConfigError, match="to read a model from, 'export'"):
        endpoints.read(f"export:{folder}")

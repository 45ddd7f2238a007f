"""transformers computes in float32, with Pillow, and reads texts of our length."""

import numpy as np
import pytest

from tests.porting.tiny_models import MODELS, change_json, clip, save, tokenizer
from vlp_jax.porting import theirs

PICTURES = list(np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), np.uint8))
TEXTS = ["a red cat", "", "a dog " * 40]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_how_weights_are_kept(tmp_path, kind, dtype):
    import torch

    model = MODELS[kind]().to(getattr(torch, dtype))
    half = save(model, tmp_path / "half")
    whole = save(model.float(), tmp_path / "whole")
    found, expected = (theirs.run_hf(x, PICTURES, TEXTS) for x in (half, whole))
    for name, output in expected.outputs.items():
        np.testing.assert_allclose(found.outputs[name], output, atol=1e-6)


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    return save(clip(), tmp_path_factory.mktemp("clip") / "theirs")


@pytest.mark.parametrize("length", [5, 64, int(1e30), None])
def test_a_tokenizer_that_says_another_length(there, tmp_path, length):
    for path in there.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    change_json(tmp_path / "tokenizer_config.json", model_max_length=length)
    found = theirs.run_hf(tmp_path, PICTURES, TEXTS)
    np.testing.assert_array_equal(found.tokens, tokenizer()(TEXTS)[0])


def test_torchvision_is_not_asked(there, monkeypatch):
    """It is not installed here, so what is asked for is looked at."""
    from transformers import AutoImageProcessor

    asked, load = [], AutoImageProcessor.from_pretrained
    monkeypatch.setattr(
        AutoImageProcessor,
        "from_pretrained",
        lambda *x, **how: asked.append(how) or load(*x, **how),
    )
    theirs.run_hf(there, PICTURES, TEXTS)
    assert [how["backend"] for how in asked] == ["pil"]

"""Embeddings are the same on one device and on eight, in full batches and ragged."""

import jax
import numpy as np
import pytest

from tests.parallel.tiny_clip import tiny_init, tiny_model
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.predictor import ModelPredictor
from vlp_jax.parallel.mesh import MeshSpec


def tokenize(texts):
    tokens = np.full((len(texts), 6), 3, np.int32)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = [4 + ord(letter) % 60 for letter in text]
    return tokens, np.ones(tokens.shape, bool)


def predictor(devices, batch_size):
    mesh = MeshSpec(devices).make(jax.devices()[:devices])
    variables = jax.jit(tiny_init())(jax.random.key(0))
    return ModelPredictor(
        tiny_model(), variables, np.asarray, tokenize, mesh, batch_size
    )


PICTURES = np.random.default_rng(0).integers(0, 256, (21, 8, 8, 3)).astype(np.uint8)
TEXTS = [f"{n:b}" for n in range(13)]


def test_devices_and_batches_do_not_matter():
    alone = predictor(1, 64)
    image, text = alone.encode_image(PICTURES), alone.encode_text(TEXTS)
    assert image.shape == (21, 64) and text.shape == (13, 64)
    np.testing.assert_allclose(np.linalg.norm(image, axis=1), 1, rtol=1e-5)
    shared = predictor(8, 10)
    assert shared.batch_size == 16  # what eight devices can share
    np.testing.assert_allclose(shared.encode_image(PICTURES), image, atol=1e-5)
    np.testing.assert_allclose(shared.encode_text(TEXTS), text, atol=1e-5)


def test_texts_become_tokens_a_batch_at_a_time():
    """So that those of a large gallery never exist at once."""
    made, asked = predictor(1, 4), []
    made.tokenize = lambda texts: asked.append(texts) or tokenize(texts)
    assert made.encode_text(TEXTS).shape == (13, 64)
    assert asked == [TEXTS[:4], TEXTS[4:8], TEXTS[8:12], TEXTS[12:]]


def test_other_weights_take_the_compiled_functions():
    first = predictor(1, 8)
    image = first.encode_image(PICTURES[:8])
    second = first.with_variables(jax.tree.map(lambda x: 2 * x, first.variables))
    assert np.abs(second.encode_image(PICTURES[:8]) - image).max() > 1e-3
    np.testing.assert_array_equal(first.encode_image(PICTURES[:8]), image)
    assert first._image is second._image and first._image._cache_size() == 1


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="batch_size is 0; expected at least 1"):
        predictor(1, 0)

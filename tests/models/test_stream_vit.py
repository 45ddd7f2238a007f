"""The transformer of a stream: a ViT, and positions for pictures of any size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.comparison import error
from tests.models.vilt_pair import IMAGE, PATCH, SIZE, pictures
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.stream_vit import StreamViT, bilinear_weights
from vlp_jax.models.vit import PlainViT

SETTINGS = dict(image_size=SIZE, patch_size=PATCH, **IMAGE)


@functools.cache
def variables():
    rng, pixels = np.random.default_rng(0), jnp.zeros((1, SIZE, SIZE, 3))
    shapes = jax.eval_shape(StreamViT(**SETTINGS).init, jax.random.key(0), pixels)
    return jax.tree.map(
        lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), shapes
    )


def embed(pixels, pixel_mask=None, **settings):
    model = StreamViT(**SETTINGS | settings)
    pixel_mask = None if pixel_mask is None else jnp.asarray(pixel_mask)
    apply = jax.jit(functools.partial(model.apply, method="embed"))
    return apply(variables(), pixels, pixel_mask)


def some(*size):
    return jnp.asarray(pictures(2, *size) / 255, jnp.float32)


@pytest.mark.parametrize("scan", [False, pytest.param(True, marks=pytest.mark.long)])
def test_it_is_the_plain_vit_with_its_parameters(scan):
    """So that a stream can start from one."""
    plain = PlainViT(pool="class", **SETTINGS)
    pixels = some()
    shapes = jax.eval_shape(plain.init, jax.random.key(0), pixels)
    assert jax.tree.map(jnp.shape, variables()) == jax.tree.map(jnp.shape, shapes)
    expected = jax.jit(plain.apply)(variables(), pixels)
    found = jax.jit(StreamViT(scan=scan, **SETTINGS).apply)(variables(), pixels)
    assert error(found, expected) <= 1e-6


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7])
def test_stretching_is_bilinear_with_the_corners_aligned(length):
    import torch

    values = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.tensor(values.T)[None, :, :, None],
        size=(length, 1),
        mode="bilinear",
        align_corners=True,
    )[0, :, :, 0].T.numpy()
    found = bilinear_weights(jnp.array([length, 2]), 8, 3)
    assert found.shape == (2, 8, 3)
    assert error(found[0, :length] @ values, expected) <= 1e-6


def test_a_square_of_the_training_is_not_stretched():
    pixels = some()
    whole = np.ones((2, SIZE, SIZE), bool)
    np.testing.assert_allclose(embed(pixels), embed(pixels, whole), atol=1e-6)
    positions = trees.flatten(variables())["params/position_embedding"]
    nothing = embed(jnp.zeros_like(pixels))
    bias = trees.flatten(variables())["params/patch_embedding/bias"]
    assert error(nothing[0, 1:], positions[1:] + bias) <= 1e-6


def test_a_smaller_picture_in_a_larger_frame():
    """Its tokens are those that it has alone; what fills the frame does not matter."""
    pixels = some(16, 20)
    mask = np.zeros((2, 16, 20), bool)
    mask[0], mask[1, :8, :12] = True, True
    found = embed(pixels, mask)[:, 1:].reshape(2, 4, 5, -1)
    first, second = embed(pixels), embed(pixels[1:, :8, :12])
    assert error(found[0].reshape(20, -1), first[0, 1:]) <= 1e-6
    assert error(found[1, :2, :3].reshape(6, -1), second[0, 1:]) <= 1e-6


def test_pictures_that_have_no_whole_patches():
    with pytest.raises(ConfigError, match="12x14 pixels has no whole number of"):
        embed(jnp.zeros((1, 12, 14, 3)))
    with pytest.raises(ConfigError, match="image_size 12 is not a multiple of model.i"):
        embed(jnp.zeros((1, SIZE, SIZE, 3)), patch_size=5)


def test_patches_are_left_out_of_squares_alone():
    model, pixels = StreamViT(patch_dropout=0.5, **SETTINGS), some()
    rngs = {"dropout": jax.random.key(0)}
    assert embed(pixels, patch_dropout=0.5).shape[1] == 10  # not in training
    found = model.apply(variables(), pixels, rngs=rngs, method="embed")
    assert found.shape[1] == 1 + 4
    with pytest.raises(ConfigError, match="not for a batch with pixel_mask"):
        embed(pixels, np.ones((2, SIZE, SIZE), bool), patch_dropout=0.5)

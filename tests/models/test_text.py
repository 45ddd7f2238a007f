"""The text transformer: where a text ends, what padding does, how long it may be."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import clip_pair
from tests.models.builders import small
from tests.models.comparison import error
from vlp_jax.core.errors import ConfigError


@functools.cache
def some_variables():
    model, rng = clip_pair.our_model("gelu", 25), np.random.default_rng(0)
    arrays = jax.random.key(0), clip_pair.pictures(), *captions()
    return jax.tree.map(
        lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype),
        jax.eval_shape(model.init, *arrays),
    )


def captions():
    return clip_pair.captions(25)


def encode_text(eos_id, ids, mask=None):
    model = clip_pair.our_model("gelu", eos_id)
    encode = jax.jit(functools.partial(model.apply, method="text_embedding"))
    return encode(some_variables(), ids, mask)


def test_the_two_rules_for_the_end_of_text_differ():
    """Else the parity with PyTorch could not tell them apart."""
    ids, mask = captions()
    ids[0, 2] = 39
    largest, first = (encode_text(eos_id, ids, mask) for eos_id in (2, 25))
    assert error(largest[0], first[0]) > 0.01


def test_padding_changes_nothing():
    ids, mask = captions()
    expected = encode_text(25, ids, mask)
    np.testing.assert_array_equal(
        encode_text(25, np.where(mask, ids, 7), mask), expected
    )
    short = encode_text(25, ids[1:2, :2])  # shorter than the tower's length
    np.testing.assert_allclose(short, expected[1:2], atol=1e-6)


def test_texts_longer_than_the_tower():
    images, tokens = np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8), np.int32)
    with pytest.raises(ConfigError, match="built for 7 tokens and got 8; set"):
        jax.eval_shape(small().init, jax.random.key(0), images, tokens)

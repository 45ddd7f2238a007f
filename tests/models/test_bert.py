"""BERT's towers: padding is out of sight, what is pooled, what cannot be."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import clip_pair
from tests.models.comparison import error
from tests.models.hf_towers import END, ROWS, our_tower
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.bert import masked_mean

BOTH = pytest.mark.parametrize("kind", ["bert", "roberta"])


@functools.cache
def some_variables(kind):
    """Random values everywhere, so that every one of them matters."""
    rng, ids = np.random.default_rng(0), jnp.zeros((1, 2), int)
    return jax.tree.map(
        lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype),
        jax.eval_shape(our_tower(kind).init, jax.random.key(0), ids),
    )


@functools.cache
def applied(kind, pool):
    return jax.jit(our_tower(kind, pool=pool).apply)


def encode(kind, ids, mask=None, pool="pooler"):
    return applied(kind, pool)(some_variables(kind), ids, mask)


@BOTH
@pytest.mark.parametrize("pool", ["pooler", "class", "mean"])
def test_padding_changes_nothing(kind, pool):
    ids, mask = clip_pair.captions(END)
    expected = encode(kind, ids, mask, pool=pool)
    changed = encode(kind, np.where(mask, ids, 7), mask, pool=pool)
    np.testing.assert_allclose(changed, expected, atol=1e-6)
    alone = encode(kind, ids[2:3, :5], pool=pool)  # row 2 ends there: no padding left
    np.testing.assert_allclose(alone, expected[2:3], atol=1e-6)
    assert error(encode(kind, ids, pool=pool)[2:3], expected[2:3]) > 1e-3


@BOTH
def test_every_token_sees_every_other(kind):
    ids, mask = clip_pair.captions(END)
    changed = ids.copy()
    changed[:, 1] = 5
    assert error(encode(kind, changed, mask), encode(kind, ids, mask)) > 1e-3


def test_a_row_without_tokens_has_a_mean_of_zero():
    """Rows that only fill up a batch: no division by zero, in the gradient neither."""
    tokens = jnp.ones((2, 3, 4))
    mask = jnp.array([[True, True, False], [False, False, False]])
    mean, gradient = jax.value_and_grad(lambda x: masked_mean(x, mask).sum())(tokens)
    assert mean == 4.0
    expected = np.zeros((2, 3, 4))
    expected[0, :2] = 0.5
    np.testing.assert_array_equal(gradient, expected)


@BOTH
def test_settings_that_cannot_be(kind):
    ids = jnp.zeros((1, ROWS + 1), int)
    with pytest.raises(ConfigError, match="built for 12 tokens and got 13; set token"):
        encode(kind, ids)
    with pytest.raises(ConfigError, match="unknown BERT pooling 'cls'; known: class"):
        encode(kind, ids[:, :3], pool="cls")

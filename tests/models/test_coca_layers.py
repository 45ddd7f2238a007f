"""CoCa's parts: what a text sees of its padding, and layers that write step by step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import coca_pair
from tests.models.comparison import error
from tests.models.resnet_pair import drawn
from vlp_jax.core import trees
from vlp_jax.models.coca_layers import CocaFusion, CocaText, QueryPool

TEXT = dict(coca_pair.TEXT, vocab_size=coca_pair.VOCABULARY, length=coca_pair.LENGTH)


def variables(model, *arrays):
    shapes = jax.eval_shape(model.init, jax.random.key(0), *arrays)
    weights = trees.unflatten(drawn(trees.flatten(shapes["params"])))
    return {"params": jax.tree.map(jnp.asarray, weights)}


@functools.cache
def text_reader(**settings):
    """(ids, mask) -> the states of all tokens, and of the class token."""
    model = CocaText(pad_id=coca_pair.PADDING, **TEXT, **settings)
    params = variables(model, jnp.zeros((1, 2), int))
    return jax.jit(functools.partial(model.apply, params, pooled=False))


def alike(one, other, rows):
    return np.allclose(one[rows, -1], other[rows, -1], atol=1e-6)


@pytest.mark.parametrize("shifted", [True, False])
def test_what_a_class_token_sees_of_padding(shifted):
    """The first of it where the mask is shifted, else none."""
    read = text_reader(shifted_mask=shifted)
    ids = np.full((1, coca_pair.LENGTH), coca_pair.PADDING)
    ids[0, :4] = 5, 6, 7, 8
    assert np.isfinite(read(ids, None)).all()

    @jax.jit
    def gradient(ids):  # of the class token, with respect to what enters at each place
        model = CocaText(pad_id=0, shifted_mask=shifted, **TEXT)
        params = variables(model, jnp.zeros((1, 2), int))["params"]

        def loss(positions, class_position):
            given = params | {
                "position_embedding": positions,
                "class_position": class_position,
            }
            return (model.apply({"params": given}, ids) ** 2).sum()

        places = params["position_embedding"], params["class_position"]
        return jax.grad(loss, argnums=(0, 1))(*map(jnp.asarray, places))

    places, own = gradient(jnp.asarray(ids))
    seen = np.abs(places).max(axis=1) > 0
    np.testing.assert_array_equal(
        seen, [True] * (4 + shifted) + [False] * (5 - shifted)
    )
    assert np.abs(own).max() > 0  # at least as the query


def test_ids_of_padding_are_the_towers_own():
    """With a mask it does not matter what the tokenizer pads with."""
    ids, mask = coca_pair.captions()
    read = text_reader()
    expected = read(ids, mask)
    np.testing.assert_array_equal(read(ids, None), expected)
    np.testing.assert_array_equal(read(np.where(mask, ids, 39), mask), expected)
    other = text_reader(padding_id=39)(np.where(mask, ids, 7), mask)
    assert alike(other, expected, [0])  # a full text
    assert not alike(other, expected, [1])


def test_no_token_sees_those_behind_it():
    ids, _ = coca_pair.captions()
    changed = ids.copy()
    changed[:, 5] = 39
    found, expected = (text_reader()(x, None)[:, :5] for x in (changed, ids))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_class_token_stands_for_the_text():
    ids, mask = coca_pair.captions()
    model = CocaText(pad_id=0, **TEXT)
    params = variables(model, jnp.zeros((1, 2), int))
    pooled = jax.jit(model.apply)(params, ids, mask)
    np.testing.assert_allclose(pooled, text_reader()(ids, mask)[:, -1], atol=1e-6)
    assert error(pooled[0], pooled[1]) > 0.01


@pytest.mark.parametrize("settings", [{}, dict(scan=True), dict(remat="dots")], ids=str)
def test_fused_states_step_by_step(settings):
    """One at a time they are what they are all at once; scanned or not."""
    model = CocaFusion(length=6, **coca_pair.TEXT, **settings)
    states, context = (
        jax.random.normal(jax.random.key(n), (2, length, 12))
        for n, length in ((0, 6), (1, 5))
    )
    params = variables(model, states, None, context)
    expected = jax.jit(model.apply)(params, states, None, context)

    @jax.jit
    def step(cache, state, position):
        return model.apply(
            params | cache, state, None, context, None, position, mutable=["cache"]
        )

    found, cache = [], {}
    for position in range(6):
        state, cache = step(cache, states[:, position : position + 1], position)
        found.append(state)
    np.testing.assert_allclose(jnp.concatenate(found, 1), expected, atol=1e-5)
    other = jax.jit(model.apply)(params, states, None, context + 1.5 * states[:, :5])
    assert error(other, expected) > 0.01


def test_queries_find_what_the_tokens_say_in_any_order():
    model = QueryPool(queries=3, width=8, heads=2)
    tokens = jax.random.normal(jax.random.key(0), (2, 5, 12))
    params = variables(model, tokens)
    found = jax.jit(model.apply)(params, tokens)
    assert found.shape == (2, 3, 8) and error(found[:, 0], found[:, 1]) > 0.1
    shuffled = jax.jit(model.apply)(params, tokens[:, ::-1])
    np.testing.assert_allclose(shuffled, found, atol=1e-5)

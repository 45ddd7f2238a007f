"""The sigmoid loss: by hand, against float64, on every mesh, in bounded memory."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.objectives.pairs import (
    MESHES,
    distinct,
    error,
    errors,
    make_mesh,
    random_pairs,
    some_keys,
    some_valid,
    unit,
)
from tests.objectives.pairs import sigmoid_reference as reference
from tests.objectives.pairs import value_and_gradients as differentiated
from vlp_jax.core.types import Need
from vlp_jax.objectives.sigmoid import Sigmoid, dense_sigmoid, tiled_sigmoid
from vlp_jax.objectives.sweep import SWEEPS
from vlp_jax.parallel.sharding import place_batch

value_and_gradients = functools.partial(differentiated, inputs=4)
WAYS = ("gather", "ring")


def tiled(mesh, tile_size, way="ring"):
    return tiled_sigmoid(mesh, functools.partial(SWEEPS[way], tile_size=tile_size))


def test_reference_is_the_gradient_of_its_value():
    image, text = (x.astype(np.float64) for x in random_pairs(8, 4))
    valid, step = some_valid(8), 1e-6
    _, *gradients = reference(image, text, 1.0, -2.0, valid, some_keys(8))
    for which, gradient in enumerate(gradients):
        inputs = [image.copy(), text.copy(), np.array(1.0), np.array(-2.0)]
        at = (0, 2) if which < 2 else ()
        sides = []
        for sign in (1, -1):
            inputs[which][at] += sign * step
            sides.append(reference(*inputs, valid, some_keys(8))[0])
            inputs[which][at] -= sign * step
        slope = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(np.asarray(gradient)[at], slope, rtol=1e-6)


@pytest.mark.parametrize("make", [lambda mesh: dense_sigmoid, lambda m: tiled(m, 1)])
def test_two_pairs_by_hand(make):
    """s = 2, bias -1: z = [[0.2, -1], [0.6, 1]], right on the diagonal.

    ln(1 + e^-0.2) + ln(1 + e^-1) + ln(1 + e^0.6) + ln(1 + e^-1)
    = 0.598139 + 0.313262 + 1.037488 + 0.313262 = 2.262151; the gradient of the bias
    is sigmoid(-1) + sigmoid(0.6) - sigmoid(-0.2) - sigmoid(-1) = 0.195490.
    """
    image = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    text = jnp.array([[0.6, 0.8], [0.0, 1.0]])
    value, gradients = value_and_gradients(make(make_mesh(1, 1)))(
        image, text, jnp.log(2.0), -1.0, jnp.array([True, True]), distinct(2)
    )
    np.testing.assert_allclose(value, 2.262151, atol=1e-6)
    np.testing.assert_allclose(gradients[3], 0.195490, atol=1e-6)


@pytest.mark.parametrize("sizes", MESHES, ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_equals_float64_on_every_mesh(sizes, way):
    mesh = make_mesh(*sizes)
    image, text = random_pairs(48, 32)
    losses = [tiled(mesh, tile, way) for tile in (5, 7, 1024)]
    losses = losses if sizes in [(1, 1), (2, 4)] else losses[1:2]
    for loss in [*losses, *[dense_sigmoid] * (way == "gather")]:
        function = value_and_gradients(loss)
        for valid in (np.ones(48, bool), some_valid(48)):
            for keys in (distinct(48), some_keys(48)):
                for scale, bias in ((10.0, -10.0), (100.0, -50.0), (14.0, 0.0)):
                    scalars = np.float32(math.log(scale)), np.float32(bias)
                    rows = place_batch((image, text, valid, keys), mesh)
                    found = function(*rows[:2], *scalars, *rows[2:])
                    expected = reference(image, text, *scalars, valid, keys)
                    assert max(errors(found, expected)) <= 1e-5
        assert function._cache_size() == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bias", [-10.0, -90.0])
def test_all_embeddings_nearly_equal_at_the_largest_scale(way, bias):
    rng = np.random.default_rng(0)
    centre = unit(rng.normal(size=(1, 64)))
    image, text = (
        unit(0.95**0.5 * centre + 0.05**0.5 * unit(rng.normal(size=(512, 64))))
        for _ in range(2)
    )
    scalars = np.float32(math.log(100)), np.float32(bias)
    found = value_and_gradients(tiled(make_mesh(2, 4), 100, way))(
        image, text, *scalars, np.ones(512, bool), distinct(512)
    )
    expected = reference(image, text, *scalars, np.ones(512, bool))
    assert max(errors(found, expected)) <= 1e-5


@pytest.mark.parametrize("way", WAYS)
def test_rows_that_fill_up_change_nothing(way):
    image, text = random_pairs(16, 8)
    valid = some_valid(16)
    loss = value_and_gradients(tiled(make_mesh(4, 1), 4, way))
    first = loss(image, text, 2.0, -1.0, valid, distinct(16))
    image[~valid], text[~valid] = 1e6, 1e6
    jax.tree.map(
        np.testing.assert_array_equal,
        loss(image, text, 2.0, -1.0, valid, distinct(16)),
        first,
    )
    assert not np.asarray(first[1][0])[~valid].any()
    nothing = loss(image, text, 2.0, -1.0, np.zeros(16, bool), distinct(16))
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(nothing))


def test_bfloat16_embeddings():
    image, text = (jnp.asarray(x, jnp.bfloat16) for x in random_pairs(512, 64))
    valid, scalars = some_valid(512), (np.float32(math.log(100)), np.float32(-30))
    found = value_and_gradients(tiled(make_mesh(2, 4), 100))(
        image, text, *scalars, valid, distinct(512)
    )
    assert found[1][0].dtype == jnp.bfloat16 and found[1][2].dtype == jnp.float32
    exact = [np.asarray(x.astype(jnp.float32)) for x in (image, text)]
    assert max(errors(found, reference(*exact, *scalars, valid))) <= 1e-2


def test_without_differentiation_the_value_is_the_same():
    image, text = random_pairs(32, 16)
    loss = tiled(make_mesh(4, 1), 8)
    inputs = image, text, 2.0, -3.0, some_valid(32), some_keys(32)
    assert error(jax.jit(loss)(*inputs), reference(*inputs)[0]) <= 1e-6


def test_compiled_memory_grows_with_the_batch_only():
    mesh = make_mesh(8, 1)

    def temporaries(loss, batch):
        inputs = (*random_pairs(batch, 64), np.ones(batch, bool), distinct(batch))
        rows = place_batch(inputs, mesh)
        function = value_and_gradients(loss).lower(*rows[:2], 2.0, -1.0, *rows[2:])
        return function.compile().memory_analysis().temp_size_in_bytes

    small, large = (temporaries(tiled(mesh, 256), b) for b in (4096, 8192))
    assert large <= 2.05 * small
    assert small <= temporaries(dense_sigmoid, 4096) / 8


def test_objective_divides_by_the_valid_pairs():
    image, text = random_pairs(16, 8)
    mesh, valid = make_mesh(4, 1), some_valid(16)
    found = {
        "image_embedding": image,
        "text_embedding": text,
        "logit_scale": np.float32(2),
        "logit_bias": np.float32(-3),
        "valid": valid,
        "sample_id": some_keys(16),
    }
    for masked in (False, True):
        objective = Sigmoid(mesh, mask_duplicates=masked)
        outputs = {need: jnp.asarray(found[need.name]) for need in objective.needs}
        assert (Need("sample_id") in outputs) == masked
        term = jax.jit(lambda o, f=objective: f(o, jnp.int32(0), ()).total)(outputs)
        keys = some_keys(16) if masked else distinct(16)
        expected = reference(image, text, 2.0, -3.0, valid, keys)[0]
        assert error(term, expected) <= 1e-5

"""The sigmoid loss: by hand, against float64, on every mesh, in bounded memory."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.objectives.pairs import (
    MESHES,
    check_reference,
    check_rows_that_fill_up,
    distinct,
    error,
    errors,
    nearly_equal_pairs,
    random_pairs,
    some_keys,
    some_valid,
    temporaries,
)
from tests.objectives.pairs import sigmoid_reference as reference
from tests.objectives.pairs import value_and_gradients as differentiated
from tests.parallel.meshes import make_mesh
from vlp_jax.core.types import Need
from vlp_jax.objectives.sigmoid import Sigmoid, dense_sigmoid, tiled_sigmoid
from vlp_jax.objectives.sweep import SWEEPS
from vlp_jax.parallel.sharding import place_batch

value_and_gradients = functools.partial(differentiated, inputs=4)
WAYS = ("gather", "ring")


def tiled(mesh, tile_size, way="ring"):
    return tiled_sigmoid(mesh, functools.partial(SWEEPS[way], tile_size=tile_size))


def test_reference_is_the_gradient_of_its_value():
    check_reference(reference, 1.0, -2.0, more=(some_valid(8), some_keys(8)))


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
    scalars = np.float32(math.log(100)), np.float32(bias)
    inputs = *nearly_equal_pairs(512, 64), *scalars, np.ones(512, bool)
    found = value_and_gradients(tiled(make_mesh(2, 4), 100, way))(
        *inputs, distinct(512)
    )
    assert max(errors(found, reference(*inputs))) <= 1e-5


@pytest.mark.parametrize("way", WAYS)
def test_rows_that_fill_up_change_nothing(way):
    check_rows_that_fill_up(tiled(make_mesh(4, 1), 4, way), 2.0, -1.0)


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
    loss, scalars = tiled(mesh, 256), (2.0, -1.0)
    small, large = (temporaries(loss, mesh, b, *scalars) for b in (4096, 8192))
    assert large <= 2.05 * small
    assert small <= temporaries(dense_sigmoid, mesh, 4096, *scalars) / 8


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

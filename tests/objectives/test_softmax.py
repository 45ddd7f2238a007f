"""The softmax loss: by hand, against float64, on every mesh, in bounded memory."""

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
    errors,
    nearly_equal_pairs,
    random_pairs,
    some_keys,
    some_valid,
    temporaries,
    unit,
    value_and_gradients,
)
from tests.objectives.pairs import softmax_reference as reference
from tests.parallel.meshes import make_mesh
from vlp_jax.objectives.softmax import dense_softmax, tiled_softmax
from vlp_jax.objectives.sweep import SWEEPS
from vlp_jax.parallel.sharding import place_batch


def tiled(mesh, tile_size, way="ring", **options):
    sweep = functools.partial(SWEEPS[way], tile_size=tile_size)
    return tiled_softmax(mesh, sweep, **options)


WAYS = ("gather", "ring")


def test_reference_is_the_gradient_of_its_value():
    check_reference(reference, 1.0, more=(some_valid(8), some_keys(8), (0.3, 0.8)))


@pytest.mark.parametrize("make", [lambda mesh: dense_softmax, lambda m: tiled(m, 1)])
def test_two_pairs_by_hand(make):
    """s = 2 and t = (0.6, 0.8), (0, 1) against i = (1, 0), (0, 1).

    S = [[1.2, 0], [1.6, 2]]. The rows' cross entropies are ln(1 + e^-1.2) = 0.263282
    and ln(1 + e^-0.4) = 0.513015, the columns' ln(1 + e^0.4) = 0.913015 and
    ln(1 + e^-2) = 0.126928; half their sum is 0.908120.
    With m = -1.2, -0.4, 0.4, -2 as above, the gradient of log s is half the sum of
    m sigmoid(m) = (-0.277770 - 0.160525 + 0.239475 - 0.238406) / 2 = -0.218613.
    """
    image = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    text = jnp.array([[0.6, 0.8], [0.0, 1.0]])
    loss = make(make_mesh(1, 1))
    value, gradients = value_and_gradients(loss)(
        image, text, jnp.log(2.0), jnp.array([True, True]), distinct(2)
    )
    np.testing.assert_allclose(value, 0.908120, atol=1e-6)
    np.testing.assert_allclose(gradients[2], -0.218613, atol=1e-6)
    only_first = jax.jit(loss)(
        image, text, jnp.log(2.0), jnp.array([True, False]), distinct(2)
    )
    np.testing.assert_allclose(only_first, 0.0, atol=1e-6)
    one_sample = jax.jit(loss)(
        image, text, jnp.log(2.0), jnp.array([True, True]), np.zeros(2, np.int32)
    )
    np.testing.assert_allclose(one_sample, 0.0, atol=1e-6)


def test_equal_embeddings_cost_log_batch():
    same = jnp.full((16, 4), 0.5)
    for loss in (dense_softmax, *(tiled(make_mesh(8, 1), 5, way) for way in WAYS)):
        total = jax.jit(loss)(
            same, same, jnp.log(10.0), jnp.ones(16, bool), distinct(16)
        )
        np.testing.assert_allclose(total / 16, math.log(16), rtol=1e-6)


@pytest.mark.parametrize("sizes", MESHES, ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_equals_float64_on_every_mesh(sizes, way):
    """48 rows; 7 and 5 do not divide them, 1024 is more than there are."""
    mesh = make_mesh(*sizes)
    image, text = random_pairs(48, 32)
    losses = [tiled(mesh, tile, way) for tile in (5, 7, 1024)]
    losses = losses if sizes in [(1, 1), (2, 4)] else losses[1:2]
    for loss in [*losses, *[dense_softmax] * (way == "gather")]:
        function = value_and_gradients(loss)
        for valid in (np.ones(48, bool), some_valid(48)):
            for keys in (distinct(48), some_keys(48)):
                for scale in (1 / 0.07, 100.0):
                    logit_scale = np.float32(math.log(scale))
                    rows = place_batch((image, text, valid, keys), mesh)
                    found = function(rows[0], rows[1], logit_scale, *rows[2:])
                    expected = reference(image, text, logit_scale, valid, keys)
                    assert max(errors(found, expected)) <= 1e-5
        assert function._cache_size() == 1


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.3, 0.9)])
def test_directions_are_weighted(weights):
    image, text = random_pairs(32, 16)
    valid, keys = some_valid(32), some_keys(32)
    expected = reference(image, text, 2.0, valid, keys, weights)
    for way in WAYS:
        loss = tiled(make_mesh(4, 1), 8, way, weights=weights)
        found = value_and_gradients(loss)(image, text, 2.0, valid, keys)
        assert max(errors(found, expected)) <= 1e-5
    dense = functools.partial(dense_softmax, weights=weights)
    found = value_and_gradients(dense)(image, text, 2.0, valid, keys)
    assert max(errors(found, expected)) <= 1e-5


@pytest.mark.parametrize("way", WAYS)
def test_rows_that_fill_up_change_nothing(way):
    check_rows_that_fill_up(tiled(make_mesh(4, 1), 4, way), 2.0)


@pytest.mark.parametrize("way", WAYS)
def test_all_embeddings_nearly_equal_at_the_largest_scale(way):
    scale, valid = np.float32(math.log(100)), np.ones(512, bool)
    inputs = *nearly_equal_pairs(512, 64), scale, valid
    found = value_and_gradients(tiled(make_mesh(2, 4), 100, way))(
        *inputs, distinct(512)
    )
    assert max(errors(found, reference(*inputs))) <= 1e-5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scale", [1 / 0.07, 100.0])
def test_near_convergence_it_is_better_than_dense(scale, way):
    """cos(pair) = 0.95 among random directions: losses of 3e-3 and 4e-22 a batch.

    Where the positives win, logsumexp(S) - S_kk and softmax - 1 cancel; the dense
    loss in float32 then misses its gradient by 5e-5 (s = 14) or altogether (s = 100).
    """
    rng = np.random.default_rng(0)
    image = unit(rng.normal(size=(512, 64)))
    text = unit(0.95 * image + (1 - 0.95**2) ** 0.5 * unit(rng.normal(size=(512, 64))))
    inputs = image, text, np.float32(math.log(scale)), np.ones(512, bool)
    expected, keys = reference(*inputs), distinct(512)
    dense = errors(value_and_gradients(dense_softmax)(*inputs, keys), expected)
    loss = tiled(make_mesh(2, 4), 100, way)
    found = errors(value_and_gradients(loss)(*inputs, keys), expected)
    assert max(found) <= max(1e-5, max(dense))  # what is asked
    assert max(found) < max(dense) / 5  # what the margins are for


@pytest.mark.parametrize("way", ["dense", *WAYS])
def test_bfloat16_embeddings(way):
    image, text = (jnp.asarray(x, jnp.bfloat16) for x in random_pairs(512, 64))
    valid = some_valid(512)
    loss = dense_softmax if way == "dense" else tiled(make_mesh(2, 4), 100, way)
    for scale in (1 / 0.07, 100.0):
        logit_scale = np.float32(math.log(scale))
        found = value_and_gradients(loss)(
            image, text, logit_scale, valid, distinct(512)
        )
        assert found[1][0].dtype == found[1][1].dtype == jnp.bfloat16
        assert found[0].dtype == found[1][2].dtype == jnp.float32
        exact = [np.asarray(x.astype(jnp.float32)) for x in (image, text)]
        assert max(errors(found, reference(*exact, logit_scale, valid))) <= 1e-2


@pytest.mark.parametrize("way", WAYS)
def test_the_second_call_does_not_compile(way):
    mesh = make_mesh(2, 4)
    function = value_and_gradients(tiled(mesh, 4, way))
    for seed in range(2):
        inputs = (*random_pairs(16, 8, seed=seed), some_valid(16), distinct(16))
        rows = place_batch(inputs, mesh)
        function(rows[0], rows[1], np.float32(seed), *rows[2:])
    assert function._cache_size() == 1


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_size_rows_by_batch_is_saved(way):
    """What the backward pass receives: the inputs and a few numbers per row."""
    batch, width = 256, 16
    image, text = random_pairs(batch, width)
    valid, keys = jnp.ones(batch, bool), jnp.arange(batch)

    def saved(loss):
        def backward(*inputs):
            return jax.vjp(lambda *x: loss(*x, valid, keys), *inputs)[1]

        shapes = jax.eval_shape(backward, image, text, jnp.float32(2))
        return [x.size for x in jax.tree.leaves(shapes)]

    assert max(saved(tiled(make_mesh(8, 1), 32, way))) == batch * width
    assert sum(saved(tiled(make_mesh(8, 1), 32, way))) < 2 * batch * (width + 4)
    assert max(saved(dense_softmax)) == batch * batch  # so the test can tell


def test_compiled_memory_is_far_below_dense():
    mesh = make_mesh(8, 1)
    dense = temporaries(dense_softmax, mesh, 4096, 2.0)
    for way, share in (("gather", 5), ("ring", 10)):
        # From two tiles a device on: of one tile XLA makes no loop.
        loss = tiled(mesh, 256, way)
        small, large = (temporaries(loss, mesh, b, 2.0) for b in (4096, 8192))
        assert large <= 2.05 * small  # with the batch, not with its square
        assert small <= dense / share

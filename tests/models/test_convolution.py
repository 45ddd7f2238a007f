"""Batch statistics: whose they are, when they move, and on how many devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

from tests.models import resnet_pair
from tests.models.comparison import check_gradients, error
from tests.parallel.meshes import make_mesh
from vlp_jax.core import trees
from vlp_jax.models.convolution import STATISTICS, BatchNorm
from vlp_jax.models.modified_resnet import ModifiedResNet
from vlp_jax.models.resnet import ResNet
from vlp_jax.parallel.sharding import BATCH, place_batch, tree_shardings

RNG = np.random.default_rng(0)
X = jnp.asarray(3 + 2 * RNG.normal(size=(4, 5, 6, 2)), jnp.float32)
SCALE, BIAS = np.float32([0.5, -2.0]), np.float32([1.0, 0.1])
MEAN, VARIANCE = np.float32([2.0, 3.5]), np.float32([1.5, 0.7])
VARIABLES = {
    "params": {"scale": SCALE, "bias": BIAS},
    STATISTICS: {"mean": MEAN, "variance": VARIANCE},
}


def normalised(x, mean, variance):
    return (x - mean) / np.sqrt(variance + 1e-5) * SCALE + BIAS


def test_training_takes_the_batch_and_moves_the_running_statistics():
    """A tenth of the way, towards the mean and the unbiased variance."""
    found, changed = BatchNorm().apply(VARIABLES, X, mutable=[STATISTICS])
    x = np.asarray(X, np.float64).reshape(-1, 2)
    mean, variance = x.mean(0), x.var(0)
    assert error(found, normalised(X, mean, variance)) <= 1e-6
    moved = changed[STATISTICS]
    np.testing.assert_allclose(moved["mean"], 0.9 * MEAN + 0.1 * mean, rtol=1e-6)
    unbiased = x.var(0, ddof=1)
    assert np.abs(unbiased / variance - 1).min() > 1e-3  # they do differ
    expected = 0.9 * VARIANCE + 0.1 * unbiased
    np.testing.assert_allclose(moved["variance"], expected, rtol=1e-6)


@pytest.mark.parametrize("frozen", [False, True])
def test_evaluation_takes_the_running_statistics(frozen):
    """So does training with frozen ones, which leaves them as they are."""
    model, expected = BatchNorm(frozen), normalised(X, MEAN, VARIANCE)
    assert error(model.apply(VARIABLES, X), expected) <= 1e-6
    if frozen:
        found, changed = model.apply(VARIABLES, X, mutable=[STATISTICS])
        assert error(found, expected) <= 1e-6
        assert changed[STATISTICS]["mean"] is MEAN


def test_fresh_statistics_are_those_of_nothing_yet():
    fresh = BatchNorm().init(jax.random.key(0), X)
    expected = {"mean": np.zeros(2), "variance": np.ones(2)}
    jax.tree.map(np.testing.assert_array_equal, fresh[STATISTICS], expected)


def test_a_large_mean_costs_no_precision():
    """The mean of squares less the square of the mean would be off by percents."""
    far = X + 3000
    found, _ = BatchNorm().apply(VARIABLES, far, mutable=[STATISTICS])
    x = np.asarray(far, np.float64)
    expected = normalised(x, x.mean((0, 1, 2)), x.var((0, 1, 2)))
    assert error(found, expected) <= 1e-3


def test_bfloat16_has_statistics_in_float32():
    model, x = BatchNorm(dtype="bfloat16"), X.astype(jnp.bfloat16)
    found, changed = model.apply(VARIABLES, x, mutable=[STATISTICS])
    assert found.dtype == jnp.bfloat16
    assert {v.dtype for v in jax.tree.leaves(changed)} == {jnp.dtype("float32")}
    x = np.asarray(x, np.float64)
    expected = 0.9 * MEAN + 0.1 * x.mean((0, 1, 2))
    np.testing.assert_allclose(changed[STATISTICS]["mean"], expected, rtol=1e-6)


def test_one_value_has_no_variance():
    alone = jnp.ones((1, 1, 1, 2))
    found, changed = BatchNorm().apply(VARIABLES, alone, mutable=[STATISTICS])
    np.testing.assert_allclose(found[0, 0, 0], BIAS, rtol=1e-6)
    assert np.isfinite(changed[STATISTICS]["variance"]).all()


# ---- towers

SIZE, ROWS = 32, 16
TOWERS = {
    "resnet": ResNet(depths=(2, 1), stem_width=16),
    "modified_resnet": ModifiedResNet(
        depths=(1, 1), stem_width=16, width=6, image_size=SIZE
    ),
}
BOTH = pytest.mark.parametrize("kind", TOWERS)
PICTURES = resnet_pair.pictures(SIZE, ROWS)


def training(model, variables, images):
    """(pooled, gradients of a loss of it, new statistics) of a step of training."""

    def loss(params):
        pooled, changed = model.apply(
            {**variables, "params": params}, images, mutable=[STATISTICS]
        )
        # Not linear: the gradient of every row depends on all rows.
        return jnp.square(pooled).sum(), (pooled, changed[STATISTICS])

    gradients, (pooled, moved) = jax.grad(loss, has_aux=True)(variables["params"])
    return pooled, gradients, moved


@functools.cache
def on_mesh(kind, sizes=(1, 1, 1), **settings):
    mesh = make_mesh(*sizes)
    model = TOWERS[kind].clone(**settings)
    variables = resnet_pair.variables(model, SIZE)
    variables = jax.device_put(variables, tree_shardings(variables, mesh))
    with jax.set_mesh(mesh):
        step = jax.jit(functools.partial(training, model))
        return jax.device_get(step(variables, place_batch(PICTURES, mesh)))


def check_same(found, expected):
    assert error(found[0], expected[0].astype(np.float64)) <= 1e-5
    check_gradients(found[1], trees.flatten(expected[1]))
    moved = trees.flatten(expected[2])
    for path, value in trees.flatten(found[2]).items():
        assert error(value, moved[path]) <= 1e-5, path


@pytest.mark.parametrize("sizes", [(8, 1, 1), (2, 2, 2)], ids=str)
@BOTH
def test_statistics_are_of_the_whole_batch_on_every_mesh(kind, sizes):
    """Embeddings, gradients and running statistics are those of one device."""
    check_same(on_mesh(kind, sizes), on_mesh(kind))


@BOTH
def test_statistics_of_a_part_are_others(kind):
    """So that the test above could fail."""
    alone = on_mesh(kind)
    variables = resnet_pair.variables(TOWERS[kind], SIZE)
    step = jax.jit(functools.partial(training, TOWERS[kind]))
    pooled, _, _ = step(variables, PICTURES[: ROWS // 8])
    assert error(pooled, alone[0][: ROWS // 8]) > 1e-2


@BOTH
def test_what_remat_computes_again_is_the_same(kind):
    check_same(on_mesh(kind, remat="full"), on_mesh(kind))


@BOTH
def test_a_frozen_tower_trains_as_it_evaluates(kind):
    model = TOWERS[kind].clone(frozen_statistics=True)
    variables = resnet_pair.variables(model, SIZE)
    pooled, gradients, moved = jax.jit(functools.partial(training, model))(
        variables, PICTURES
    )
    evaluated = jax.jit(TOWERS[kind].apply)(variables, PICTURES)
    np.testing.assert_allclose(pooled, evaluated, rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, moved, variables[STATISTICS])
    assert all(np.abs(x).max() > 0 for x in jax.tree.leaves(gradients["stage_1"]))


def test_evaluation_needs_no_communication_between_rows():
    model, mesh = TOWERS["resnet"], make_mesh(8, 1, 1)
    variables = resnet_pair.variables(model, SIZE)
    images = jax.device_put(PICTURES, NamedSharding(mesh, BATCH))
    text = jax.jit(model.apply).lower(variables, images).compile().as_text()
    assert "all-" not in text and "permute" not in text


@BOTH
def test_bfloat16_is_near_float32(kind):
    given, expected = on_mesh(kind, dtype="bfloat16"), on_mesh(kind)
    assert given[0].dtype == jnp.bfloat16
    assert 1e-4 < error(np.float32(given[0]), np.float64(expected[0])) < 0.05
    leaves = jax.tree.leaves(given[1:])
    assert {leaf.dtype for leaf in leaves} == {np.dtype("float32")}

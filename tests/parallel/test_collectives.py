"""Collectives: each is its formula over the rows of all devices, in their order."""

import jax
import numpy as np
import pytest

from tests.parallel.meshes import make_mesh
from vlp_jax.parallel import collectives
from vlp_jax.parallel.collectives import ROWS, SAME

DEVICES, OWN = 8, 2  # rows of one device
X = np.random.default_rng(0).normal(size=(DEVICES * OWN, 3)).astype(np.float32)
PARTS = X.reshape(DEVICES, OWN, 3)
MESHES = pytest.mark.parametrize("sizes", [(8, 1), (2, 4)], ids=str)


def found(function, sizes, out, x=X, rows=ROWS):
    mesh = make_mesh(*sizes)
    mapped = collectives.map_rows(function, mesh, in_specs=rows, out_specs=out)
    return np.asarray(jax.jit(mapped)(x))


@MESHES
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (collectives.sum_over_rows, PARTS.sum(axis=0)),
        (collectives.max_over_rows, PARTS.max(axis=0)),
    ],
)
def test_everyone_gets_what_all_have_together(function, expected, sizes):
    np.testing.assert_allclose(found(function, sizes, SAME), expected, rtol=1e-5)


@MESHES
def test_a_mean_is_that_of_all_rows(sizes):
    mean = found(collectives.mean_over_rows, sizes, SAME, X[:, 0])
    np.testing.assert_allclose(mean, X[:, 0].mean(), rtol=1e-5)


@MESHES
def test_gathered_rows_keep_the_order_of_the_batch(sizes):
    """Every device hands on what it has got: the whole batch, eight times."""
    copies = found(collectives.gather_rows, sizes, ROWS).reshape(DEVICES, *X.shape)
    np.testing.assert_array_equal(copies, np.broadcast_to(X, copies.shape))


@MESHES
def test_sums_come_home_to_their_rows(sizes):
    """Device d has (d + 1) times the batch; 36 times its own rows come back."""

    def share(own):
        everything = collectives.gather_rows(own)
        factor = collectives.own_rows(np.arange(1.0, DEVICES + 1, dtype="float32"), 1)
        return collectives.sum_to_own_rows(factor * everything)

    np.testing.assert_allclose(found(share, sizes, ROWS), 36 * X, rtol=1e-5)


@MESHES
def test_own_rows_undo_gathering(sizes):
    def both(own):
        return collectives.own_rows(collectives.gather_rows(own), OWN)

    np.testing.assert_array_equal(found(both, sizes, ROWS), X)


@MESHES
def test_a_ring_hands_everything_to_the_next_and_comes_back(sizes):
    once = found(collectives.to_next, sizes, ROWS)
    np.testing.assert_array_equal(once, np.roll(X, OWN, axis=0))

    def around(own):
        for _ in range(collectives.row_devices()):
            own = collectives.to_next(own)
        return own

    np.testing.assert_array_equal(found(around, sizes, ROWS), X)


PICKED = np.random.default_rng(1).integers(0, DEVICES * OWN, DEVICES * OWN)
AT_HOME = np.arange(DEVICES * OWN) // OWN * OWN + PICKED % OWN


@MESHES
def test_rows_know_their_numbers(sizes):
    def numbers(own):
        return collectives.row_numbers(len(own))

    np.testing.assert_array_equal(found(numbers, sizes, ROWS), np.arange(len(X)))


@pytest.mark.parametrize("sizes", [(1, 1), (8, 1), (2, 2, 2)], ids=str)
@pytest.mark.parametrize(
    ("pick", "numbers"),
    [(collectives.rows_at, PICKED), (collectives.own_rows_at, AT_HOME)],
)
def test_rows_are_found_by_number_and_gradients_go_back_to_them(pick, numbers, sizes):
    mesh = make_mesh(*sizes)
    picked = collectives.map_rows(pick, mesh, in_specs=(ROWS, ROWS), out_specs=ROWS)
    weights = np.random.default_rng(2).normal(size=X.shape).astype(np.float32)

    def total(x):
        rows = picked(x, numbers)
        return (weights * rows).sum(), rows

    gradient, rows = jax.jit(jax.grad(total, has_aux=True))(X)
    np.testing.assert_array_equal(rows, X[numbers])
    expected = np.zeros_like(X)
    np.add.at(expected, numbers, weights)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


def test_rows_are_not_split_over_the_tensor_axis():
    def count(own):
        return own * collectives.row_devices()

    np.testing.assert_array_equal(found(count, (2, 2, 2), ROWS), 4 * X)

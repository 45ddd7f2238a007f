"""L-BFGS finds the minimum of convex functions, and ends where rounding does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from vlp_jax.evaluation.lbfgs import MOST_STILL, minimise


def solve(function, start, tolerance=1e-6, most_iterations=1000):
    @jax.jit
    def run(x):
        return minimise(jax.value_and_grad(function), x, tolerance, most_iterations)

    return run(start)


@pytest.fixture(scope="module")
def quadratic():
    """A quadratic whose curvatures span four decades, and its minimum."""
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(20, 20)))
    matrix = basis * np.logspace(-2, 2, 20) @ basis.T
    centre = rng.normal(size=20)

    def function(x):
        away = x - centre.astype(x.dtype)
        return away @ matrix.astype(x.dtype) @ away / 2

    return function, centre


def test_the_minimum_of_a_quadratic(quadratic):
    function, centre = quadratic
    with jax.enable_x64(True):
        found = solve(function, np.zeros(20), tolerance=1e-10)
    assert float(found.residual) <= 1e-10 and found.iterations < 635  # scipy's
    np.testing.assert_allclose(found.x, centre, atol=1e-5)


def test_the_minimum_is_scipys():
    """Of a function that is no quadratic, with a start far away."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(30, 5))

    def function(x, maths=jnp):
        return maths.logaddexp(0, 3 * rows @ x - 1).sum() + (x**2).sum() / 2

    expected = minimize(
        lambda x: function(x, np), np.full(5, 4.0), method="BFGS", tol=1e-9
    )
    with jax.enable_x64(True):
        found = solve(function, np.full(5, 4.0), tolerance=1e-9)
    np.testing.assert_allclose(found.x, expected.x, atol=1e-6)


def test_steps_that_overshoot_are_shortened():
    """The first step, of length one, lands where the value is infinite or larger."""
    with jax.enable_x64(True):
        found = solve(lambda x: jnp.exp(50 * x[0]) - x[0], np.zeros(1), 1e-8)
    np.testing.assert_allclose(found.x[0], -np.log(50) / 50, rtol=1e-6)


def test_it_ends_after_so_many_directions(quadratic):
    function, _ = quadratic
    found = solve(function, np.zeros(20, np.float32), 1e-10, most_iterations=3)
    assert found.iterations == 3 and found.residual > 1e-3


def test_it_ends_where_rounding_hides_what_could_be_gained(quadratic):
    function, centre = quadratic
    found = solve(lambda x: function(x) + 10, np.zeros(20, np.float32), 0.0)
    assert MOST_STILL < found.iterations < 500
    np.testing.assert_allclose(found.x, centre, atol=0.05)


def test_a_start_at_the_minimum_stays():
    found = solve(lambda x: (x**2).sum(), np.zeros(3, np.float32))
    assert found.iterations == 0 and not np.asarray(found.x).any()

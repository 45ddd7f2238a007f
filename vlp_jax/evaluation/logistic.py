"""Multinomial logistic regression on all devices: scikit-learn's optimum, in JAX.

With features x, labels y and C classes it minimises over W and b

    sum over n of CE(x_n W + b, y_n)  +  l2 / 2 |W|^2

which is LogisticRegression(C=1 / l2) of scikit-learn; the bias is free. Each device
holds a part of the rows and computes their logits in tiles, so that nothing of size
rows x classes exists.

Precision: that of the features; float64 works under jax.enable_x64. On scikit-learn's
digits both give its weights to 1e-5 for C = 1, 1e-3 for C = 1e4, and its predictions up
to C = 1e6 (tests/evaluation/test_logistic.py).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.evaluation.lbfgs import minimise
from vlp_jax.parallel.collectives import ROWS, SAME, map_rows, sum_over_rows, varying
from vlp_jax.parallel.mesh import batch_devices
from vlp_jax.parallel.sharding import REPLICATED, place_batch

MOST_ITERATIONS = 1000  # as Radford et al. 2021, appendix A.3
TOLERANCE = 1e-9  # the largest |gradient| at the end, as a share of that at the start
TILE = 2**22  # logits that a device holds at a time


class Linear(NamedTuple):
    """A trained classifier: logits = features @ weights + bias.

    residual: the largest |gradient| at the end, as a share of that at the start.
    """

    weights: Float[np.ndarray, "e classes"]
    bias: Float[np.ndarray, " classes"]
    iterations: int
    residual: float

    def logits(self, features: Float[np.ndarray, "n e"]) -> Float[np.ndarray, "n c"]:
        return features @ self.weights + self.bias


class LogisticRegression:
    """The problem for some examples, for as many penalties as are asked for.

    The features are centred and get a constant column of their own size: the same
    optimum in other variables, in which the bias and the common direction of the
    features (embeddings have a large one) no longer slow down the search.

    Args:
      features: one row an example, float32 or float64.
      labels: 0 .. classes - 1; every class should occur, or its bias has no optimum.
      mesh: the devices to share the rows.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "n e"],
        labels: Int[np.ndarray, " n"],
        classes: int,
        mesh: Mesh,
    ):
        self.size, self.classes, self.mesh = len(features), classes, mesh
        self.mean = features.mean(axis=0, dtype=np.float64).astype(features.dtype)
        centred = features - self.mean
        self.constant = float(np.linalg.norm(centred) / np.sqrt(centred.size) or 1.0)
        devices = batch_devices(mesh)
        share = -(-self.size // devices)
        tiles = -(-share * classes // TILE)
        self.tile = -(-share // tiles)
        rows = self.tile * tiles * devices
        x = np.zeros((rows, features.shape[1] + 1), features.dtype)
        x[: self.size, :-1], x[: self.size, -1] = centred, self.constant
        y = np.zeros(rows, np.int32)
        y[: self.size] = labels
        self.examples = place_batch((x, y, np.arange(rows) < self.size), mesh, True)

    def fit(self, l2: float) -> Linear:
        """The classifier of a penalty; each is looked for from zero."""
        if self.classes == 2:
            # scikit-learn has one vector w for two classes. The optimum has the two
            # w / 2 and -w / 2, whose squared norms sum up to half of w's.
            l2 = 2 * l2
        solve = _solver(self.mesh, self.classes, self.tile)
        with jax.set_mesh(self.mesh):
            found = solve(*self.examples, l2 / self.size, self.size)
        x = np.asarray(found.x)
        weights, bias = x[:-1], self.constant * x[-1]
        bias = bias - self.mean @ weights
        return Linear(
            weights, bias - bias.mean(), int(found.iterations), float(found.residual)
        )


@functools.cache
def _solver(mesh: Mesh, classes: int, tile: int):
    """(x, y, valid, l2, size) -> Minimum, both terms divided by the number of rows."""

    def solve(x, y, valid, l2, size):
        loss = map_rows(
            functools.partial(_loss, tile=tile),
            mesh,
            in_specs=(SAME, ROWS, ROWS, ROWS),
            out_specs=(SAME, SAME),
        )

        def value_and_gradient(w):
            value, gradient = loss(w, x, y, valid)
            penalised = l2 * w.at[-1].set(0)
            return (
                value / size + (penalised * w).sum() / 2,
                gradient / size + penalised,
            )

        start = jnp.zeros((x.shape[1], classes), x.dtype)
        return minimise(value_and_gradient, start, TOLERANCE, MOST_ITERATIONS)

    return jax.jit(solve, out_shardings=NamedSharding(mesh, REPLICATED))


def _loss(
    w: Float[Array, "e classes"],
    x: Float[Array, "rows e"],
    y: Int[Array, " rows"],
    valid: Bool[Array, " rows"],
    tile: int,
) -> tuple[Float[Array, ""], Float[Array, "e classes"]]:
    """Summed cross entropy of all rows of all devices, and its gradient.

    With the margin m = logsumexp(wrong logits) - right logit it is softplus(m), and the
    error of the right logit is minus the sum of the others: unlike softmax - 1 these
    keep their precision where nearly all rows are right, as under a weak penalty.
    """

    def add(sums, part):
        x, y, valid = part
        logits = jnp.matmul(x, w, precision="highest")
        right = y[:, None] == jnp.arange(w.shape[1])
        above = logits - jnp.where(right, logits, 0).sum(axis=1, keepdims=True)
        above = jnp.where(right, -jnp.inf, above)
        loss = jax.nn.softplus(jax.nn.logsumexp(above, axis=1))
        wrong = jnp.exp(above - loss[:, None])
        error = jnp.where(right, -wrong.sum(axis=1, keepdims=True), wrong)
        value, gradient = sums
        # A row that only fills up is zero, the constant too, and has no gradient.
        gradient += jnp.matmul(x.T, error, precision="highest")
        return (value + jnp.where(valid, loss, 0).sum(), gradient), None

    tiles = jax.tree.map(lambda a: a.reshape(-1, tile, *a.shape[1:]), (x, y, valid))
    nothing = varying(jnp.zeros((), x.dtype)), varying(jnp.zeros_like(w))
    sums, _ = jax.lax.scan(add, nothing, tiles)
    return jax.tree.map(sum_over_rows, sums)

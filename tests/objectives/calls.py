"""Objectives called by hand: a table of arrays in, value, metrics and gradients out."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.parallel.meshes import make_mesh
from vlp_jax.core.types import Need
from vlp_jax.parallel.sharding import place_batch


def call(objective, arrays, stream="pairs", teacher=None, step=0):
    """(total, count, metrics, gradients by name of the arrays of floats).

    `teacher`: what the moving average gives for the same names.
    """
    moving = {n for n, x in arrays.items() if np.issubdtype(x.dtype, np.floating)}

    @jax.jit
    def evaluate(differentiated, others, teacher, step):
        def loss(differentiated):
            known = {("live", n): x for n, x in (differentiated | others).items()}
            known |= {("momentum", n): x for n, x in teacher.items()}
            outputs = {}
            for need in objective.needs:
                assert need.stream == stream
                outputs[need] = known[need.parameters, need.name]
            term = objective(outputs, step, objective.initial_state())
            assert term.total.dtype == term.count.dtype == jnp.float32
            return term.total, (term.count, term.metrics)

        (total, (count, metrics)), gradients = jax.value_and_grad(loss, has_aux=True)(
            differentiated
        )
        return total, count, metrics, gradients

    differentiated = {n: x for n, x in arrays.items() if n in moving}
    others = {n: x for n, x in arrays.items() if n not in moving}
    return evaluate(differentiated, others, teacher or {}, jnp.int32(step))


def check_shared_out(objective, arrays, **options):
    """Eight devices find what one does: value and gradients."""
    alone = call(objective, arrays, **options)
    shared = call(objective, place_batch(arrays, make_mesh(4, 2)), **options)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(b, a, rtol=2e-5, atol=1e-6),
        alone,
        shared,
    )


def names(objective) -> set[str]:
    return {need.name for need in objective.needs if need.parameters == "live"}


def needs_momentum(objective) -> set[Need]:
    return {need for need in objective.needs if need.parameters == "momentum"}

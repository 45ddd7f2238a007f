"""The train step: one pure function for every model, objective and mesh."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from vlp_jax.core import trees
from vlp_jax.core.types import Batch, ComputeOutputs
from vlp_jax.training.optimizer import clamp, moving_average
from vlp_jax.training.state import TrainState

Metrics = dict[str, jax.Array]


def make_train_step(
    compute_outputs: ComputeOutputs,
    objective: Callable,
    optimizer: optax.GradientTransformation,
    seed: int,
    bounds: Mapping[str, tuple[float, float]],
    ema_decay: float | None,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """The function (state, batch) -> (state, metrics).

    Randomness is a function of (seed, step) alone, so a resumed run draws the same.
    Gradients, updates and the average are those of state.params; state.frozen takes
    part in the outputs alone.
    """

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)

        def loss_function(params):
            params = trees.merge(params, state.frozen)
            variables = {"live": {"params": params, **state.variables}}
            outputs, variables = compute_outputs(variables, objective.needs, batch, key)
            loss, metrics, objective_state = objective(
                outputs, state.step, state.objective_state
            )
            return loss, (metrics, variables, objective_state)

        gradients, (metrics, variables, objective_state) = jax.grad(
            loss_function, has_aux=True
        )(state.params)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        frozen = trees.flatten(state.frozen)
        held = {path: pair for path, pair in bounds.items() if path not in frozen}
        params = clamp(optax.apply_updates(state.params, updates), held)
        ema = state.ema
        if ema_decay is not None:
            # Early on the average follows closely, or it would keep the initial values.
            decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
            ema = moving_average(ema, params, decay)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        state = TrainState(
            step=state.step + 1,
            params=params,
            variables=variables,
            opt_state=opt_state,
            objective_state=objective_state,
            ema=ema,
            frozen=state.frozen,
        )
        return state, metrics

    return train_step

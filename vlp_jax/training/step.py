"""The train step: one pure function for every model, objective and mesh."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from vlp_jax.core import trees
from vlp_jax.core.types import Batch, ComputeOutputs, PyTree
from vlp_jax.training.nonfinite import keep_if
from vlp_jax.training.optimizer import clamp, early_decay, moving_average
from vlp_jax.training.state import TrainState, averaged, variables_of

Metrics = dict[str, jax.Array]


def make_train_step(
    compute_outputs: ComputeOutputs,
    objective: Callable,
    optimizer: optax.GradientTransformation,
    seed: int,
    bounds: Mapping[str, tuple[float, float]],
    decays: Mapping[str, float],
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """The function (state, batch) -> (state, metrics).

    Randomness and the learning rate are functions of the step alone, so a resumed run
    has the same. Gradients and updates are those of state.params; state.frozen
    takes part in the outputs alone. decays: of the averages that the state keeps;
    outputs may be asked for under 'momentum'.

    Where the loss or the norm of the gradient is not finite, the step changes nothing
    but state.step and state.nonfinite, which is among the metrics.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)

        def loss_function(params):
            params = trees.merge(params, state.frozen)
            variables = {"live": {"params": params, **state.variables}}
            if "momentum" in decays:
                variables["momentum"] = variables_of(state, "momentum")
            outputs, variables = compute_outputs(variables, objective.needs, batch, key)
            loss, metrics, objective_state = objective(
                outputs, state.step, state.objective_state
            )
            return loss, (metrics, variables, objective_state)

        gradients, (metrics, variables, objective_state) = jax.grad(
            loss_function, has_aux=True
        )(state.params)
        updates, opt_state = optimizer.update(
            gradients, state.opt_state, state.params, step=state.step
        )
        frozen = trees.flatten(state.frozen)
        held = {path: pair for path, pair in bounds.items() if path not in frozen}
        params = clamp(optax.apply_updates(state.params, updates), held)
        averages = _averages(state, averaged(params, variables), decays)
        norm = optax.tree.norm(gradients)
        finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
        new = state.replace(
            params=params,
            variables=variables,
            opt_state=opt_state,
            objective_state=objective_state,
            **averages,
        )
        new = keep_if(finite, new, state).replace(
            step=state.step + 1,
            nonfinite=jnp.where(finite, 0, state.nonfinite + 1),
        )
        return new, metrics | {"gradient_norm": norm, "nonfinite": new.nonfinite}

    return train_step


def _averages(state: TrainState, newest: PyTree, decays: Mapping[str, float]):
    """The moving averages of a state with the newest parameters in them, by name.

    Only the one to evaluate forgets the initial values soon: 'momentum' is that of
    MoCo and ALBEF, whose decay is constant.
    """
    return {
        name: moving_average(
            getattr(state, name),
            newest,
            early_decay(decay, state.step) if name == "ema" else decay,
        )
        for name, decay in decays.items()
    }

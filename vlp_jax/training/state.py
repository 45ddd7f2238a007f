"""The train state: everything a step changes, as one sharded tree."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh

from vlp_jax.core.types import PyTree
from vlp_jax.parallel.sharding import Rules, placed_shapes, tree_shardings


@struct.dataclass
class TrainState:
    step: jax.Array  # int32 scalar: steps done, and so the position in the data
    params: PyTree
    variables: PyTree  # other collections of the model, such as batch statistics
    opt_state: PyTree
    objective_state: PyTree
    ema: PyTree  # moving average of params; () when not kept


def make_state(
    init: Callable[[jax.Array], dict[str, PyTree]],
    optimizer: optax.GradientTransformation,
    objective_state: PyTree,
    keep_ema: bool,
    seed: int,
) -> TrainState:
    """A fresh state. Called under jit, so that no device ever holds all of it."""
    variables = dict(init(jax.random.key(seed)))
    params = variables.pop("params")
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        variables=variables,
        opt_state=optimizer.init(params),
        objective_state=objective_state,
        ema=jax.tree.map(jnp.copy, params) if keep_ema else (),
    )


def state_shapes(make: Callable[[], TrainState], mesh: Mesh, rules: Rules = ()):
    """Shapes, dtypes and places of the state that `make` makes, without making it."""
    shapes = jax.eval_shape(make)
    return placed_shapes(shapes, tree_shardings(shapes, mesh, rules))


def create_sharded(make: Callable[[], TrainState], mesh: Mesh, rules: Rules = ()):
    """A fresh state, made in its shards."""
    places = jax.tree.map(lambda x: x.sharding, state_shapes(make, mesh, rules))
    return jax.jit(make, out_shardings=places)()


def items_of(state: TrainState) -> dict[str, PyTree]:
    """The state as the items of a checkpoint; `ema` only where one is kept."""
    items = {
        "model": {"params": state.params, **state.variables},
        "training": {
            "step": state.step,
            "optimizer": state.opt_state,
            "objectives": state.objective_state,
        },
    }
    return items | ({"ema": state.ema} if state.ema != () else {})


def state_from(items: dict[str, PyTree]) -> TrainState:
    """The inverse of items_of."""
    variables = dict(items["model"])
    return TrainState(
        step=items["training"]["step"],
        params=variables.pop("params"),
        variables=variables,
        opt_state=items["training"]["optimizer"],
        objective_state=items["training"]["objectives"],
        ema=items.get("ema", ()),
    )

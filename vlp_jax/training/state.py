"""The train state: everything a step changes, as one sharded tree."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh

from vlp_jax.core.types import PyTree
from vlp_jax.parallel.sharding import Rules, tree_shardings


@struct.dataclass
class TrainState:
    step: jax.Array  # int32 scalar: steps done, and so the position in the data
    params: PyTree
    variables: PyTree  # other collections of the model, such as batch statistics
    opt_state: PyTree
    objective_state: PyTree
    average: PyTree  # moving average of params; () when not kept


def make_state(
    init: Callable[[jax.Array], dict[str, PyTree]],
    optimizer: optax.GradientTransformation,
    objective_state: PyTree,
    keep_average: bool,
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
        average=jax.tree.map(jnp.copy, params) if keep_average else (),
    )


def state_shapes(make: Callable[[], TrainState], mesh: Mesh, rules: Rules = ()):
    """Shapes, dtypes and places of the state that `make` makes, without making it."""
    shapes = jax.eval_shape(make)
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        shapes,
        tree_shardings(shapes, mesh, rules),
    )


def create_sharded(make: Callable[[], TrainState], mesh: Mesh, rules: Rules = ()):
    """A fresh state, made in its shards."""
    shardings = tree_shardings(jax.eval_shape(make), mesh, rules)
    return jax.jit(make, out_shardings=shardings)()


def items_of(state: TrainState) -> dict[str, PyTree]:
    """The state as the items of a checkpoint; `average` only where one is kept."""
    items = {
        "model": {"params": state.params, **state.variables},
        "training": {
            "step": state.step,
            "optimizer": state.opt_state,
            "objectives": state.objective_state,
        },
    }
    return items | ({"average": state.average} if state.average != () else {})


def state_from(items: dict[str, PyTree]) -> TrainState:
    """The inverse of items_of."""
    variables = dict(items["model"])
    return TrainState(
        step=items["training"]["step"],
        params=variables.pop("params"),
        variables=variables,
        opt_state=items["training"]["optimizer"],
        objective_state=items["training"]["objectives"],
        average=items.get("average", ()),
    )

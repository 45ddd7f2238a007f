"""The train state: everything a step changes, as one sharded tree."""

from collections.abc import Callable, Collection

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh

from vlp_jax.core import trees
from vlp_jax.core.types import PyTree
from vlp_jax.parallel.sharding import LAYOUT, Layout, placed_shapes, tree_shardings

# Moving averages that a state may keep: one to evaluate, and one to learn from.
AVERAGES = ("ema", "momentum")


@struct.dataclass
class TrainState:
    step: jax.Array  # int32 scalar: steps done, and so the position in the data
    nonfinite: jax.Array  # int32 scalar: the last so many steps changed nothing else
    params: PyTree  # those that train
    variables: PyTree  # other collections of the model, such as batch statistics
    opt_state: PyTree
    objective_state: PyTree
    ema: PyTree  # moving average of params and variables; () when not kept
    frozen: PyTree = struct.field(default_factory=dict)  # the parameters that stay
    momentum: PyTree = ()  # another average, that objectives learn from; or ()


def make_state(
    init: Callable[[jax.Array], dict[str, PyTree]],
    optimizer: optax.GradientTransformation,
    objective_state: PyTree,
    averages: Collection[str],
    seed: int,
    trains: Callable[[str], bool] | None = None,
) -> TrainState:
    """A fresh state. Called under jit, so that no device ever holds all of it.

    `averages`: which of AVERAGES are kept. `trains` tells by its path whether a
    parameter is trained; None: all are. The optimizer never hears of the others.
    """
    variables = dict(init(jax.random.key(seed)))
    params, frozen = variables.pop("params"), {}
    if trains is not None:
        params, frozen = trees.split(params, trains)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        nonfinite=jnp.zeros((), jnp.int32),
        params=params,
        variables=variables,
        opt_state=optimizer.init(params),
        objective_state=objective_state,
        frozen=frozen,
        **{
            name: jax.tree.map(jnp.copy, averaged(params, variables))
            if name in averages
            else ()
            for name in AVERAGES
        },
    )


def averaged(params: PyTree, variables: dict[str, PyTree]) -> PyTree:
    """What a moving average is kept of, as one tree.

    Statistics of batches too: those of the live model do not fit averaged parameters.
    """
    return trees.union({"params": params, **variables})


def state_shapes(make: Callable[[], TrainState], mesh: Mesh, layout: Layout = LAYOUT):
    """Shapes, dtypes and places of the state that `make` makes, without making it."""
    shapes = jax.eval_shape(make)
    return placed_shapes(shapes, tree_shardings(shapes, mesh, layout))


def create_sharded(
    make: Callable[..., TrainState], mesh: Mesh, layout: Layout = LAYOUT, arguments=()
):
    """A fresh state, made in its shards; `arguments` are arrays that `make` takes."""
    places = jax.tree.map(lambda x: x.sharding, state_shapes(make, mesh, layout))
    return jax.jit(make, out_shardings=places)(*arguments)


def variables_of(state: TrainState, weights: str = "model") -> dict[str, PyTree]:
    """What the model is applied with; `weights`: 'model', or one of AVERAGES."""
    found = {"params": state.params, **state.variables}
    if weights in AVERAGES:
        found = trees.apart(getattr(state, weights), found)
    return {**found, "params": trees.merge(found["params"], state.frozen)}


def items_of(state: TrainState) -> dict[str, PyTree]:
    """The state as the items of a checkpoint; of AVERAGES those that are kept."""
    items = {
        "model": variables_of(state),
        "training": {
            "step": state.step,
            "nonfinite": state.nonfinite,
            "optimizer": state.opt_state,
            "objectives": state.objective_state,
        },
    }
    for name in AVERAGES:
        if getattr(state, name) != ():
            items[name] = trees.merge(getattr(state, name), state.frozen)
    return items


def state_from(
    items: dict[str, PyTree], trains: Callable[[str], bool] | None = None
) -> TrainState:
    """The inverse of items_of; `trains` as in make_state."""
    variables = dict(items["model"])
    params, frozen = variables.pop("params"), {}
    averages = {name: items[name] for name in AVERAGES if name in items}
    if trains is not None:
        params, frozen = trees.split(params, trains)
        locked = trees.flatten(frozen)
        for name, average in averages.items():
            averages[name] = trees.split(average, lambda path: path not in locked)[0]
    return TrainState(
        step=items["training"]["step"],
        nonfinite=items["training"]["nonfinite"],
        params=params,
        variables=variables,
        opt_state=items["training"]["optimizer"],
        objective_state=items["training"]["objectives"],
        frozen=frozen,
        **{"ema": (), **averages},
    )

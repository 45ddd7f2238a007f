"""Where arrays live: rules for parameters, one spec for batches and activations."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vlp_jax.core import trees
from vlp_jax.parallel.mesh import BATCH_AXES

Rules = Sequence[tuple[str, P]]

BATCH = P(BATCH_AXES)
REPLICATED = P()
FSDP_MIN_SIZE = 2**12  # smaller arrays are copied: moving them costs more than it saves


def constrain(x: jax.Array, spec: P = BATCH) -> jax.Array:
    """Says how an activation is split, on the mesh in use (none: no effect)."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec)


def fsdp_spec(shape: Sequence[int], mesh: Mesh) -> P:
    """Splits the largest axis that the fsdp devices divide; small arrays are copied."""
    parts = mesh.shape["fsdp"]
    dividable = [axis for axis, size in enumerate(shape) if size % parts == 0]
    if parts == 1 or not dividable or np.prod(shape) < FSDP_MIN_SIZE:
        return REPLICATED
    largest = max(dividable, key=lambda axis: shape[axis])
    return P(*(None,) * largest, "fsdp")


def tree_shardings(tree, mesh: Mesh, rules: Rules = ()):
    """A NamedSharding for every array (or shape) of `tree`.

    The first rule whose pattern is found in the path of a leaf decides; optimizer
    state carries the parameter's path in its own, so one rule serves both.
    """

    def spec(path, leaf):
        for pattern, spec in rules:
            if re.search(pattern, path):
                return NamedSharding(mesh, spec)
        return NamedSharding(mesh, fsdp_spec(leaf.shape, mesh))

    return trees.map_with_path(spec, tree)


def placed_shapes(tree, shardings):
    """Shapes, dtypes and places of a tree, without its values."""
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, shardings
    )


class Share(NamedTuple):
    """Rows of every global batch that the devices of one process hold.

    rows: their numbers in the batch, in order. counted: False for a row that an
    earlier process holds too, so that each row is counted once.
    """

    rows: np.ndarray
    counted: np.ndarray


def process_share(batch_size: int, mesh: Mesh) -> Share:
    """This process's share of batches of `batch_size` rows on a mesh."""
    process = jax.process_index()
    held = np.zeros(batch_size, bool)
    first = np.full(batch_size, jax.process_count())
    places = NamedSharding(mesh, BATCH).devices_indices_map((batch_size,))
    for device, (rows,) in places.items():
        held[rows] |= device.process_index == process
        first[rows] = np.minimum(first[rows], device.process_index)
    rows = np.flatnonzero(held)
    return Share(rows, first[rows] == process)


def place_batch(batch, mesh: Mesh, whole: bool = False):
    """Host arrays -> global arrays split over the batch axes.

    Every process gives the rows of its share, or (`whole`) all rows.
    """
    sharding = NamedSharding(mesh, BATCH)

    def place(x):
        shape = x.shape if whole else None
        return jax.make_array_from_process_local_data(sharding, x, shape)

    return jax.tree.map(place, batch)


def jit_update(step: Callable, state) -> Callable:
    """`step(state, batch) -> (state, metrics)`, compiled to update `state` in place.

    The new state takes the memory of the old one and is split as it was. Left to the
    compiler, a small parameter may come back split, and the next call compiles again.
    """
    places = jax.tree.map(lambda x: x.sharding, state)
    return jax.jit(step, donate_argnums=0, out_shardings=(places, None))

"""Where arrays live: rules for parameters, one spec for batches and activations."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vlp_jax.core import trees
from vlp_jax.parallel.mesh import BATCH_AXES

BATCH = P(BATCH_AXES)
REPLICATED = P()
MIN_SIZE = 2**12  # smaller arrays are copied: moving them costs more than it saves


@dataclasses.dataclass(frozen=True)
class Layout:
    """Rules for where the arrays of a train state live.

    tensor: (pattern, axis): an array in whose path the pattern is found is split along
      that axis over the mesh axis `tensor`; the first rule found decides.
    spread: patterns; what they are found in is split over `data` as well as `fsdp`.

    Beyond these rules every large array is split over `fsdp` along its largest axis
    that the devices divide.
    """

    tensor: Sequence[tuple[str, int]] = (
        # The heads of attention and the hidden units of an MLP are shared out: the
        # products into them by columns, the products out of them by rows, and only
        # the result of the latter is summed over devices (arXiv:1909.08053).
        (r"(query|key|value|mlp/in)/(kernel|bias)$", -1),
        (r"(attention/out|mlp/out)/kernel$", 0),
    )
    spread: Sequence[str] = ()


LAYOUT = Layout()
# Optimizer state and moving averages over all devices (ZeRO stage 1, arXiv:1910.02054).
ZERO = Layout(spread=("^opt_state/", "^ema/", "^momentum/"))


def constrain(x: jax.Array, spec: P = BATCH) -> jax.Array:
    """Says how an activation is split, on the mesh in use (none: no effect)."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec)


def _spec(path: str, shape: Sequence[int], mesh: Mesh, layout: Layout) -> P:
    """How one array is split; small ones are copied."""
    split: list = [None] * len(shape)
    for pattern, axis in layout.tensor:
        if re.search(pattern, path) and -len(shape) <= axis < len(shape):
            if mesh.shape["tensor"] > 1 and shape[axis] % mesh.shape["tensor"] == 0:
                split[axis] = "tensor"
            break
    spread = any(re.search(pattern, path) for pattern in layout.spread)
    if math.prod(shape) >= MIN_SIZE:
        for axes in (BATCH_AXES, "fsdp") if spread else ("fsdp",):
            parts = mesh.shape["fsdp"] * (1 if axes == "fsdp" else mesh.shape["data"])
            free = [a for a, n in enumerate(shape) if not split[a] and n % parts == 0]
            if parts > 1 and free:
                split[max(free, key=lambda a: shape[a])] = axes
                break
    while split and split[-1] is None:
        split.pop()
    return P(*split)


def tree_shardings(tree, mesh: Mesh, layout: Layout = LAYOUT):
    """A NamedSharding for every array (or shape) of `tree`.

    Optimizer state carries the parameter's path in its own, so one rule serves both.
    """
    return trees.map_with_path(
        lambda path, leaf: NamedSharding(mesh, _spec(path, leaf.shape, mesh, layout)),
        tree,
    )


def bytes_per_device(tree) -> int:
    """The largest share of a tree of arrays that one device of this process holds."""
    held: Counter = Counter()
    for leaf in jax.tree.leaves(tree):
        for shard in leaf.addressable_shards:
            held[shard.device] += shard.data.nbytes
    return max(held.values())


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

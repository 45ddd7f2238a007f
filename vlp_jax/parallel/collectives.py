"""Communication between devices. Nothing outside this file calls a collective.

`map_rows` runs a function once per device on that device's rows of the batch; the
other functions are called inside it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from vlp_jax.parallel.mesh import BATCH_AXES
from vlp_jax.parallel.sharding import BATCH, REPLICATED

ROWS, SAME = BATCH, REPLICATED  # specs for arrays split by rows / equal everywhere


def map_rows(function: Callable, mesh: Mesh, in_specs, out_specs) -> Callable:
    """`function` over the rows each device holds, with communication inside."""
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs)


def sum_over_rows(x: jax.Array) -> jax.Array:
    """The sum over all devices that hold rows."""
    return lax.psum(x, BATCH_AXES)


def max_over_rows(x: jax.Array) -> jax.Array:
    """The maximum over all devices that hold rows."""
    return lax.pmax(x, BATCH_AXES)


def mean_over_rows(x: jax.Array) -> jax.Array:
    """The mean of [b] over the rows of all devices."""
    return lax.pmean(x.mean(), BATCH_AXES)


def gather_rows(x: jax.Array) -> jax.Array:
    """[b, ...] on each device -> [B, ...], all rows in the batch's order."""
    return lax.all_gather(x, BATCH_AXES, tiled=True)


def sum_to_own_rows(x: jax.Array) -> jax.Array:
    """[B, ...] on each device -> [b, ...]: the sum over devices of the own rows."""
    return lax.psum_scatter(x, BATCH_AXES, tiled=True)


def to_next(tree):
    """Hands the arrays of this device to the next one, around the ring of devices."""
    devices = lax.axis_size(BATCH_AXES)
    steps = [(i, (i + 1) % devices) for i in range(devices)]
    return jax.tree.map(lambda x: lax.ppermute(x, BATCH_AXES, steps), tree)


def row_devices() -> int:
    """Over how many devices the rows are split."""
    return lax.axis_size(BATCH_AXES)


def own_rows(x: jax.Array, rows: int) -> jax.Array:
    """The part of [B, ...] that belongs to this device's `rows` rows."""
    return lax.dynamic_slice_in_dim(x, lax.axis_index(BATCH_AXES) * rows, rows)


def row_numbers(rows: int) -> jax.Array:
    """The numbers in the batch of this device's `rows` rows."""
    return lax.axis_index(BATCH_AXES) * rows + jnp.arange(rows)


def own_rows_at(x: jax.Array, numbers: jax.Array) -> jax.Array:
    """Rows of [b, ...] by their numbers in the batch; all of them are at home."""
    return x[numbers - lax.axis_index(BATCH_AXES) * len(x)]


def rows_at(x: jax.Array, numbers: jax.Array) -> jax.Array:
    """Rows by their numbers in the batch, wherever they are.

    The rows of all devices come by in a ring, so that two devices' share of them
    exists at one time instead of the batch.
    """
    here, devices = lax.axis_index(BATCH_AXES), row_devices()
    home, place = jnp.divmod(numbers, len(x))

    def turn(state, device):
        passing, found = state
        passing = to_next(passing)
        theirs = (home == device).reshape(-1, *(1,) * (x.ndim - 1))
        return (passing, jnp.where(theirs, passing[place], found)), None

    passing_by = (here - jnp.arange(1, devices)) % devices
    return lax.scan(turn, (x, x[place]), passing_by)[0][1]


def varying(x: jax.Array) -> jax.Array:
    """Marks a constant as different on each device (what a loop carry must be)."""
    return lax.pcast(x, BATCH_AXES, to="varying")

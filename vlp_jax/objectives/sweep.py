"""Every row of the batch meets every column, one tile of the B x B matrix at a time.

The rows stay at home; the columns come by. A sweep calls

    visit(carry, columns, riding) -> (carry, riding)

for every tile of columns: `carry` belongs to the rows at home (their running sums),
`riding` to the columns of the tile (theirs). Called inside `collectives.map_rows`.

gather  Every device holds all columns at once and the results of its own rows for
        them; `combine` adds these up over the devices.
ring    The columns of one device at a time, handed on from neighbour to neighbour
        together with what rides on them; after one round they are home, complete.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from einops import rearrange
from jax.sharding import Mesh

from vlp_jax.core.errors import check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Need, Outputs
from vlp_jax.parallel import collectives
from vlp_jax.parallel.mesh import batch_devices

SAMPLE = Need("sample_id")

# From here on the products of a ring are reckoned to hide its exchange (on v5e or
# NVLink), or a gathered modality to be too large. Estimates: no such machine was timed.
RING_ROWS, RING_BATCH = 2048, 2**18


def _count(columns) -> int:
    return len(jax.tree.leaves(columns)[0])


def _tiles(tree, count: int, tiles: int):
    """[count, ...] -> [tiles, tile, ...] as even as they come, filled with zeros."""
    tile = math.ceil(count / tiles)

    def split(x):
        x = jnp.pad(x, ((0, tiles * tile - count),) + ((0, 0),) * (x.ndim - 1))
        return rearrange(x, "(tile column) ... -> tile column ...", column=tile)

    return jax.tree.map(split, tree)


def _joined(tree, count: int):
    """The inverse of _tiles."""
    return jax.tree.map(
        lambda x: rearrange(x, "tile column ... -> (tile column) ...")[:count], tree
    )


def gather(visit, carry, columns, start, combine, tile_size):
    """All columns at once. `start(n)`: what rides on n columns before any visit."""
    everyone = jax.tree.map(collectives.gather_rows, columns)
    count = _count(everyone)
    carry, riding = jax.tree.map(collectives.varying, (carry, start(count)))
    tiles = _tiles((everyone, riding), count, math.ceil(count / tile_size))
    carry, riding = jax.lax.scan(lambda c, x: visit(c, *x), carry, tiles)
    return carry, combine(_joined(riding, count))


def ring(visit, carry, columns, start, combine, tile_size):
    """The columns of one device after the other. `combine` is not needed.

    Tile by tile in one loop: while a tile is visited, its columns are on their way to
    the next device, and so is what rides on the tile before it. A tile comes back to
    its place one hop later, so there must be at least two of them.
    """
    del combine
    count = _count(columns)
    tiles = max(2, math.ceil(count / tile_size))
    carry, riding = jax.tree.map(collectives.varying, (carry, start(count)))
    columns, riding = _tiles((columns, riding), count, tiles)

    def place(tree, tile, index):
        return jax.tree.map(lambda x, y: x.at[index].set(y), tree, tile)

    def turn(state, index):
        carry, columns, riding, result = state
        tile = jax.tree.map(lambda x: x[index], columns)
        following = collectives.to_next(tile)
        riding = place(riding, collectives.to_next(result), index - 1)
        carry, result = visit(carry, tile, jax.tree.map(lambda x: x[index], riding))
        return (carry, place(columns, following, index), riding, result), None

    last = jax.tree.map(lambda x: x[-1], riding)  # the same on every device
    turns = jnp.tile(jnp.arange(tiles), collectives.row_devices())
    state = carry, columns, riding, last
    (carry, _, riding, last), _ = jax.lax.scan(turn, state, turns)
    riding = place(riding, collectives.to_next(last), -1)
    return carry, _joined(riding, count)


SWEEPS = {"gather": gather, "ring": ring}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
IMPLEMENTATIONS = ("auto", "dense", *SWEEPS)


def choose(mesh: Mesh, batch: int) -> tuple[str, str]:
    """(implementation, reason) for a batch on a mesh."""
    devices = batch_devices(mesh)
    rows = batch // devices
    if devices == 1:
        return "gather", "one device holds the batch"
    if batch >= RING_BATCH:
        return "ring", f"the {batch:,} texts of a batch stay where they are"
    if rows >= RING_ROWS:
        return "ring", f"{rows:,} pairs a device hide the exchange"
    return "gather", f"{rows:,} pairs a device would not hide a ring's exchange"


class PairLoss:
    """What the losses over all pairs of a batch have in common.

    Args:
      mesh: the devices that share the batch.
      implementation: 'gather' or 'ring' (tiles, little memory), 'dense' (the whole
        matrix; for tests and small batches on one device), or 'auto', which takes
        the ring for large batches.
      tile_size: columns of the matrix that exist at one time.
      mask_duplicates: whether pairs of the same sample (a picture that comes twice
        in a batch) are left out instead of being negatives of each other.
      dtype: of the embeddings in the products and on their way between devices; sums
        and logits are float32 ('bfloat16' misses the gradient by up to 1e-2).
    """

    scope = "global"
    needs = (
        Need("image_embedding"),
        Need("text_embedding"),
        Need("logit_scale"),
        Need("valid"),
    )

    def __init__(
        self,
        mesh: Mesh,
        implementation: str,
        tile_size: int,
        mask_duplicates: bool,
        dtype: str,
    ):
        lookup(dict.fromkeys(IMPLEMENTATIONS), implementation, "loss implementation")
        check_range("tile_size", tile_size, 1)
        self.mesh, self.implementation = mesh, implementation
        self.tile_size = tile_size
        self.dtype = lookup(DTYPES, dtype, "loss dtype")
        self.needs = PairLoss.needs + (SAMPLE,) * mask_duplicates

    def initial_state(self):
        return ()

    def choose(self, batch: int) -> tuple[str, str]:
        """(implementation, reason) for a batch."""
        if self.implementation != "auto":
            return self.implementation, "as configured"
        return choose(self.mesh, batch)

    def describe(self, batch: int) -> str:
        """One line for the terminal about how the loss is computed."""
        return "{} ({})".format(*self.choose(batch))

    def sweep(self, implementation: str) -> Callable:
        return functools.partial(SWEEPS[implementation], tile_size=self.tile_size)

    def inputs(self, outputs: Outputs):
        """(image, text, logit_scale, valid, keys): pairs of one key are one sample."""
        image, text, logit_scale, valid = (outputs[n] for n in PairLoss.needs)
        image, text = image.astype(self.dtype), text.astype(self.dtype)
        if SAMPLE in self.needs:
            return image, text, logit_scale, valid, outputs[SAMPLE]
        return image, text, logit_scale, valid, jnp.arange(len(image))

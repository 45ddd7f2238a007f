"""Sweeps: every row meets every column once, and what rides on a column comes home."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.parallel.meshes import make_mesh
from vlp_jax.core.errors import ConfigError
from vlp_jax.objectives.sweep import RING_BATCH, SWEEPS, PairLoss, choose
from vlp_jax.parallel import collectives
from vlp_jax.parallel.collectives import ROWS

BATCH = 16


def outer(way, mesh, tile_size):
    """(what the rows have met [B, B], what the columns have met [B]), by a sweep.

    Row r carries a place for each column, to which a visit adds r + 1; a column sums
    up the rows that it has met. Tiles are filled up with columns of weight 0.
    """

    def local(numbers):
        def visit(met, tile, riding):
            column, weight = tile
            here = weight * (numbers[:, None] + 1)
            return met.at[:, column].add(here), riding + here.sum(axis=0)

        one = collectives.varying(jnp.ones(len(numbers), jnp.int32))
        return SWEEPS[way](
            visit,
            jnp.zeros((len(numbers), BATCH), jnp.int32),
            (numbers, one),
            start=lambda count: jnp.zeros(count, jnp.int32),
            combine=collectives.sum_to_own_rows,
            tile_size=tile_size,
        )

    rows = collectives.map_rows(local, mesh, in_specs=ROWS, out_specs=(ROWS, ROWS))
    return jax.jit(rows)(jnp.arange(BATCH))


@pytest.mark.parametrize("sizes", [(1, 1), (4, 1), (2, 4)], ids=str)
@pytest.mark.parametrize("tile_size", [1, 3, 1000])
@pytest.mark.parametrize("way", SWEEPS)
def test_every_row_meets_every_column_once(way, tile_size, sizes):
    met, of_columns = outer(way, make_mesh(*sizes), tile_size)
    rows = np.arange(1, BATCH + 1)
    np.testing.assert_array_equal(met, np.tile(rows[:, None], BATCH))
    np.testing.assert_array_equal(of_columns, np.full(BATCH, rows.sum()))


def test_the_choice_says_why():
    eight = make_mesh(4, 2)
    assert choose(make_mesh(1, 1), 2**20)[0] == "gather"
    assert choose(eight, 8 * 2047)[0] == "gather"
    assert choose(eight, 8 * 2048) == ("ring", "2,048 pairs a device hide the exchange")
    many = make_mesh(8, 1), RING_BATCH
    assert choose(*many) == ("ring", "the 262,144 texts of a batch stay where they are")


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ConfigError, match="loss dtype 'float16'; known: bfloat16"):
        PairLoss(make_mesh(1, 1), "auto", 512, False, "float16")

"""The nearest keys of every query, on all devices, without the matrix of all scores."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Int

from vlp_jax.parallel.collectives import ROWS, SAME, map_rows, varying
from vlp_jax.parallel.mesh import batch_devices
from vlp_jax.parallel.sharding import REPLICATED, place_batch

QUERIES, KEYS = 1024, 8192  # scores that a device holds at a time


def nearest(
    queries: Float[np.ndarray, "q e"],
    keys: Float[np.ndarray, "n e"],
    k: int,
    mesh: Mesh,
) -> tuple[Float[np.ndarray, "q k"], Int[np.ndarray, "q k"]]:
    """(inner products, indices) of the k best keys of each query, best first.

    Equal products: the lower index first. k is cut to n. The keys are split over the
    devices; each finds the k best of its own in tiles, and the best of those remain.
    """
    k = min(k, len(keys))
    devices = batch_devices(mesh)
    share = -(-len(keys) // devices)
    tile = min(KEYS, share)
    rows = -(-share // tile) * tile * devices
    places = np.where(np.arange(rows) < len(keys), np.arange(rows), -1)
    placed = place_batch(
        (_filled(keys, rows), places.astype(np.int32)), mesh, whole=True
    )
    search = _search(mesh, k, tile)
    found = []
    block = min(QUERIES, len(queries))
    with jax.set_mesh(mesh):
        for start in range(0, len(queries), block):
            part = queries[start : start + block]
            best = search(_filled(part, block), *placed)
            found.append([np.asarray(x)[: len(part)] for x in best])
    similarity, index = (np.concatenate(x) for x in zip(*found, strict=True))
    return similarity, index


def _filled(x: np.ndarray, rows: int) -> np.ndarray:
    return np.pad(x, ((0, rows - len(x)), (0, 0)))


@functools.cache
def _search(mesh: Mesh, k: int, tile: int):
    """(queries, keys, places) -> (products, places) of the k best, compiled."""
    search = map_rows(
        functools.partial(_search_own, k=k, tile=tile),
        mesh,
        in_specs=(SAME, ROWS, ROWS),
        out_specs=(ROWS, ROWS),
    )

    def best_of_all(queries, keys, places):
        # Devices hold ascending rows, so equal products stay in the order of rows.
        return _best(*(x.T for x in search(queries, keys, places)), k)

    everywhere = NamedSharding(mesh, REPLICATED)
    return jax.jit(best_of_all, out_shardings=everywhere)


def _search_own(
    queries: Float[Array, "q e"],
    keys: Float[Array, "rows e"],
    places: Int[Array, " rows"],
    k: int,
    tile: int,
) -> tuple[Float[Array, "k q"], Int[Array, "k q"]]:
    """The k best among the keys of this device; places of -1 are no keys."""

    def look(best, part):
        keys, places = part
        products = jnp.matmul(queries, keys.T, precision="highest")
        products = jnp.where(places < 0, -jnp.inf, products)
        places = jnp.broadcast_to(places, products.shape)
        # Those found before have lower places and come first among equals.
        both = jax.tree.map(lambda *x: jnp.concatenate(x, 1), best, (products, places))
        return _best(*both, k), None

    tiles = jax.tree.map(lambda x: x.reshape(-1, tile, *x.shape[1:]), (keys, places))
    nothing = (
        varying(jnp.full((len(queries), k), -jnp.inf, queries.dtype)),
        varying(jnp.full((len(queries), k), -1, places.dtype)),
    )
    best, _ = jax.lax.scan(look, nothing, tiles)
    return best[0].T, best[1].T


def _best(products, places, k):
    """The k best of each row; lax.top_k puts the first of equals first."""
    products, chosen = jax.lax.top_k(products, k)
    return products, jnp.take_along_axis(places, chosen, axis=1)

"""Ranks of retrieval on all devices: both directions from one pass over the scores.

The T x I scores exist a tile at a time. Texts stay split over the devices; tiles of
images pass by, and each device compares them with its texts, a tile of those at a time.
A rank is a count of the keys that come before the right one, so nothing is sorted, and
one number a query is all that is kept.

The right answer's own score must come out of the same multiplication as those that it
is compared with, to the bit: rounding differs from one program to another. So one
program does both. A first sweep, over the tiles in which right answers lie (few, as
texts are ordered by their image), gives their scores; a second over all tiles counts.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import einsum
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Float, Int

from vlp_jax.evaluation.metrics.ranking import check_finite
from vlp_jax.parallel.collectives import ROWS, SAME, map_rows, sum_over_rows, varying
from vlp_jax.parallel.mesh import batch_devices
from vlp_jax.parallel.sharding import REPLICATED, place_batch

# Texts and images of a tile: few enough for a processor's cache, or many enough to keep
# an accelerator busy.
TILES = {"cpu": (1024, 512)}
LARGE_TILE = (4096, 8192)
NEVER = 2**31 - 1  # the number of what only fills up a tile


class _Texts(NamedTuple):
    """Texts in the order of their images, split over the devices."""

    embedding: jax.Array  # [T, E]
    image: jax.Array  # [T] the number of the text's own image
    number: jax.Array  # [T] the text's own


class _Found(NamedTuple):
    """Beside the texts: the score of the own image, how many images come before it."""

    own: jax.Array
    before: jax.Array


class _Images(NamedTuple):
    """A tile of images, the same on all devices."""

    embedding: jax.Array  # [C, E]
    number: jax.Array  # [C]
    best: jax.Array  # [C] the highest score of the image's texts
    text: jax.Array  # [C] the number of the text that has it, of equal ones the first


def retrieval_ranks_on_devices(
    images: Float[np.ndarray, "i e"],
    texts: Float[np.ndarray, "t e"],
    text_image: Int[np.ndarray, " t"],
    mesh: Mesh,
    tile: tuple[int, int] | None = None,
) -> tuple[Int[np.ndarray, " t"], Int[np.ndarray, " i"]]:
    """metrics.retrieval's image_retrieval_ranks and text_retrieval_ranks.

    The same numbers as NumPy's, ties included, where products are exact, and otherwise
    but for near ties that either rounds its own way. They do not depend on the number
    of devices. On several processes each gives all embeddings and gets all ranks.

    Args:
      images, texts: float32, finite (else ValueError).
      text_image: the image that each text describes.
      tile: how many texts and images a device compares at a time; None: by its kind.
    """
    check_finite(images, texts)
    if tile is None:
        tile = TILES.get(mesh.devices.flat[0].platform, LARGE_TILE)
    devices = batch_devices(mesh)
    rows, columns = devices * tile[0], tile[1]
    order = np.argsort(text_image, kind="stable")
    owner = _filled(text_image[order], rows, NEVER)
    sorted_texts = _Texts(
        _filled(texts[order], rows, 0), owner, _filled(order, rows, NEVER)
    )
    scores = _Scores(images, place_batch(sorted_texts, mesh, whole=True), mesh, tile)
    own = np.full(len(owner), np.inf, np.float32)
    unknown = np.full(len(images), np.inf, np.float32), np.zeros(len(images), np.int64)

    own, _, _ = scores.sweep(own, *unknown, _tiles_of_owners(owner, devices, tile[0]))
    best, first = _best_texts(own[: len(texts)], text_image[order], order, len(images))
    own[len(texts) :] = np.inf
    everywhere = np.array([[0, len(owner) // rows]] * devices, np.int32)
    _, of_text, of_image = scores.sweep(own, best, first, lambda *_: everywhere)

    # What fills up a tile scores 0, which is before whatever scores less.
    of_text = of_text[: len(texts)] - -len(images) % columns * (own[: len(texts)] < 0)
    ranks = np.empty(len(texts), np.int64)
    ranks[order] = of_text
    return ranks, of_image - -len(texts) % rows * (best < 0)


class _Scores:
    """The scores of texts that lie on the devices and images that pass by."""

    def __init__(self, images: np.ndarray, texts: _Texts, mesh: Mesh, tile):
        self.images, self.texts, self.mesh = images, texts, mesh
        self.columns, self.program = tile[1], _program(mesh, tile[0])

    def sweep(self, own, best, first, limits: Callable):
        """(own [T], before [T], before [I]) of the tiles of texts that `limits` names.

        own [T], best [I], first [I]: what scores are compared with. limits: the ends
        of a tile of images -> [devices, 2], from which of a device's tiles of texts to
        which.
        """
        zeros = np.zeros(len(own), np.int32)
        found = place_batch(_Found(own, zeros), self.mesh, whole=True)
        counts = []
        for start in range(0, len(self.images), self.columns):
            part = slice(start, start + self.columns)
            number = np.arange(start, start + self.columns, dtype=np.int32)
            tile = _Images(
                _filled(self.images[part], self.columns, 0),
                number,
                _filled(best[part], self.columns, np.inf),
                _filled(first[part], self.columns, 0),
            )
            chosen = place_batch(limits(start, part.stop), self.mesh, whole=True)
            tile = jax.tree.map(self._same, tile)
            with jax.set_mesh(self.mesh):  # a run that trains has set its own
                found, count = self.program(self.texts, found, tile, chosen)
            counts.append(count)
        with jax.set_mesh(self.mesh):
            own, before = map(np.array, _gather(self.mesh)(found))
        return own, before, np.concatenate(counts)[: len(self.images)]

    def _same(self, x: np.ndarray) -> jax.Array:
        place = NamedSharding(self.mesh, REPLICATED)
        return jax.make_array_from_callback(x.shape, place, lambda index: x[index])


@functools.cache
def _gather(mesh: Mesh) -> Callable:
    return jax.jit(lambda x: x, out_shardings=NamedSharding(mesh, REPLICATED))


@functools.cache
def _program(mesh: Mesh, rows: int) -> Callable:
    """Compares a tile of images with some of the tiles of texts of each device."""

    def compare(texts: _Texts, found: _Found, images: _Images, limits: jax.Array):
        def one(number: jax.Array, carry):
            found, count = carry
            at = number * rows
            text, so_far = jax.tree.map(
                lambda x: lax.dynamic_slice_in_dim(x, at, rows), (texts, found)
            )
            new, more = _compare_tile(text, so_far, images)
            update = functools.partial(lax.dynamic_update_slice_in_dim, axis=0)
            found = jax.tree.map(lambda x, y: update(x, y, at), found, new)
            return found, count + more

        count = varying(jnp.zeros(images.number.shape, jnp.int32))
        low, high = limits[0, 0], limits[0, 1]
        found, count = lax.fori_loop(low, high, one, (found, count))
        return found, sum_over_rows(count)

    mapped = map_rows(compare, mesh, (ROWS, ROWS, SAME, ROWS), (ROWS, SAME))
    return jax.jit(mapped, donate_argnums=1)


def _compare_tile(texts: _Texts, found: _Found, images: _Images):
    """The texts' own scores and counts after this tile, and what the images count."""
    with jax.default_matmul_precision("highest"):  # float32, where less is the default
        scores = einsum(
            texts.embedding, images.embedding, "text e, image e -> text image"
        )
    column = texts.image - images.number[0]
    is_here = (column >= 0) & (column < len(images.number))
    here = jnp.take_along_axis(scores, jnp.where(is_here, column, 0)[:, None], axis=1)
    own = jnp.where(is_here, here[:, 0], found.own)

    mine, best = found.own[:, None], images.best[None, :]
    first = images.number[None, :] < texts.image[:, None]
    before = (scores > mine) | ((scores == mine) & first)
    first = texts.number[:, None] < images.text[None, :]
    before_image = (scores > best) | ((scores == best) & first)
    count = found.before + before.sum(axis=1, dtype=jnp.int32)
    return _Found(own, count), before_image.sum(axis=0, dtype=jnp.int32)


def _tiles_of_owners(owner: np.ndarray, devices: int, rows: int) -> Callable:
    """Which of a device's tiles hold texts of the images from `start` to `end`."""
    share = len(owner) // devices

    def limits(start: int, end: int) -> Int[np.ndarray, "devices 2"]:
        ends = np.searchsorted(owner, [start, end])
        inside = np.clip(ends - share * np.arange(devices)[:, None], 0, share)
        return np.stack([inside[:, 0] // rows, -(-inside[:, 1] // rows)], 1).astype(
            np.int32
        )

    return limits


def _best_texts(own, owner, number, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each image's texts the highest score and the first that has it; else -inf."""
    best = np.full(images, -np.inf, np.float32)
    np.maximum.at(best, owner, own)
    first = np.full(images, NEVER, np.int64)
    is_best = own == best[owner]
    np.minimum.at(first, owner[is_best], number[is_best])
    return best, first


def _filled(x: np.ndarray, multiple: int, value: float) -> np.ndarray:
    """Lengthened to a multiple; numbers become those of the devices."""
    kind = np.float32 if x.dtype.kind == "f" else np.int32
    fill = ((0, -len(x) % multiple),) + ((0, 0),) * (x.ndim - 1)
    return np.pad(x.astype(kind, copy=False), fill, constant_values=value)

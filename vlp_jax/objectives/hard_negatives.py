"""Hard negatives from the batch: what is wrong, but much alike, is drawn more often.

For every picture a text is drawn, and for every text a picture, with the probability

    P(text j for picture k) = softmax over j of s i_k.t_j
    P(picture k for text j) = softmax over k of s i_k.t_j

where only pairs (k, j) of valid rows and of different samples take part (Li et al.
2021, arXiv:2107.07651, section 3.2). A row that has no such partner gets itself, which
tells that it has no negative.

A draw is the highest of the logits plus Gumbel noise, and the noise of a pair is a
function of (key, row, column) by their numbers in the batch. So the draws do not depend
on the tiles in which the matrix comes by, nor on the number of devices. Nothing here
has a gradient.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.objectives.softmax import MASKED, negatives_of
from vlp_jax.parallel import collectives
from vlp_jax.parallel.collectives import ROWS, SAME


class Negatives(NamedTuple):
    """Numbers of rows in the batch, int32 [B] each; its own where a row has none."""

    image_for_text: jax.Array
    text_for_image: jax.Array


def dense_negatives(
    image: Float[Array, "B D"],
    text: Float[Array, "B D"],
    logit_scale: Float[Array, ""],
    valid: Bool[Array, " B"],
    sample_id: Int[Array, " B"],
    key: jax.Array,
) -> Negatives:
    """Draws for every row from the whole B x B matrix: the definition."""
    inputs = jax.lax.stop_gradient((image, text, logit_scale))
    numbers = jnp.arange(len(image))
    return _from_matrix(numbers, *inputs, valid, sample_id, key)


def device_negatives(mesh: Mesh) -> Callable[..., Negatives]:
    """Draws from the rows of the same device alone, without communication.

    A function of the arguments of `dense_negatives`. This is what is published, where
    every process draws from its own rows. It depends on how many devices there are.
    """

    def local(image, *inputs):
        numbers = collectives.row_numbers(len(image))
        return _from_matrix(numbers, image, *inputs)

    return _mapped(local, mesh)


def tiled_negatives(mesh: Mesh, sweep: Callable) -> Callable[..., Negatives]:
    """`dense_negatives`, draw for draw, with memory O(rows on a device x tile).

    One sweep serves both directions.

    Args:
      mesh: the devices that share the rows.
      sweep: how columns come by (objectives/sweep.py), with its tile_size.
    """
    return _mapped(functools.partial(_from_tiles, sweep), mesh)


def pair_noise(
    key: jax.Array, rows: Int[Array, " r"], columns: Int[Array, " c"]
) -> tuple[Float[Array, "r c"], Float[Array, "r c"]]:
    """Gumbel noise for the two directions of every pair, by the numbers of its rows."""
    of_row = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
    of_pair = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))
    bits = jax.random.key_data(of_pair(of_row, columns))  # one cipher block a pair
    return _gumbel(bits[..., 0]), _gumbel(bits[..., 1])


def _gumbel(bits):
    """-log(E) with E = -log(1 - u): as fine near E = 0, which wins, as floats are."""
    uniform = (bits.astype(jnp.float32) + 0.5) * 2.0**-32
    return -jnp.log(-jnp.log1p(-jnp.minimum(uniform, 1 - 2.0**-24)))


def _mapped(local: Callable, mesh: Mesh) -> Callable[..., Negatives]:
    function = collectives.map_rows(
        local,
        mesh,
        in_specs=(ROWS, ROWS, SAME, ROWS, ROWS, SAME),
        out_specs=Negatives(ROWS, ROWS),
    )
    return lambda *inputs: function(*jax.lax.stop_gradient(inputs))


def _from_matrix(numbers, *inputs) -> Negatives:
    """Draws among the given rows, which have these numbers in the batch."""
    image, text, logit_scale, valid, sample_id, key = inputs
    products, allowed = negatives_of(image, valid, sample_id, (text, valid, sample_id))
    logits = jnp.where(allowed, jnp.exp(logit_scale) * products, MASKED)
    for_image, for_text = pair_noise(key, numbers, numbers)
    text_for_image = numbers[(logits + for_image).argmax(1)]
    image_for_text = numbers[(logits + for_text).argmax(0)]
    return Negatives(
        jnp.where(allowed.any(0), image_for_text, numbers),
        jnp.where(allowed.any(1), text_for_image, numbers),
    )


def _from_tiles(sweep, *inputs) -> Negatives:
    """One device's share of the draws from the whole batch."""
    image, text, logit_scale, valid, sample_id, key = inputs
    numbers = collectives.row_numbers(len(image))
    scale = jnp.exp(logit_scale)

    def visit(of_images, columns, of_texts):
        *columns, their_numbers = columns
        products, allowed = negatives_of(image, valid, sample_id, columns)
        logits = jnp.where(allowed, scale * products, MASKED)
        for_image, for_text = pair_noise(key, numbers, their_numbers)
        of_images = _better(of_images, _highest(logits + for_image, their_numbers, 1))
        of_texts = _better(of_texts, _highest(logits + for_text, numbers, 0))
        return of_images, of_texts

    def start(count):
        return jnp.full(count, MASKED), jnp.zeros(count, numbers.dtype)

    found = sweep(
        visit,
        start(len(image)),
        (text, valid, sample_id, numbers),
        start,
        functools.partial(_combine, len(image)),
    )
    of_images, of_texts = (
        jnp.where(score > MASKED / 2, number, numbers) for score, number in found
    )
    return Negatives(image_for_text=of_texts, text_for_image=of_images)


def _highest(scores, numbers, axis):
    """(the highest score along an axis, its number)."""
    return scores.max(axis), numbers[scores.argmax(axis)]


def _better(one, other):
    """The higher of two (score, number); of equal ones the lower number."""
    first = (one[0] > other[0]) | ((one[0] == other[0]) & (one[1] < other[1]))
    return jax.tree.map(functools.partial(jnp.where, first), one, other)


def _combine(rows, found):
    """A device's best for all columns -> the best of all devices, for those at home."""
    score, number = found
    highest = collectives.max_over_rows(score)
    lowest = -collectives.max_over_rows(
        jnp.where(score == highest, -number, jnp.iinfo(number.dtype).min)
    )
    return collectives.own_rows(highest, rows), collectives.own_rows(lowest, rows)

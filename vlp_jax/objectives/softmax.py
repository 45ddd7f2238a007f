"""The symmetric softmax loss: its definition, and the same in tiles.

With L2-normalised image and text embeddings i, t of B pairs, s = exp(logit_scale):

    S = s i t^T        loss = (CE(rows of S) + CE(columns of S)) / 2

where the right class of row k is k (Radford et al. 2021, arXiv:2103.00020, figure 3).
Rows that only fill up a batch (`valid` false) are neither positives nor negatives, and
two pairs of the same key (the same picture, say) are no negatives of each other.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.parallel import collectives
from vlp_jax.parallel.collectives import ROWS, SAME

MASKED = -1e30  # finite, so that a row without any column still has no NaN
BOTH = (0.5, 0.5)  # weights of the rows' (image to text) and the columns' direction


def dense_softmax(
    image: Float[Array, "B D"],
    text: Float[Array, "B D"],
    logit_scale: Float[Array, ""],
    valid: Bool[Array, " B"],
    keys: Int[Array, " B"],
    weights: tuple[float, float] = BOTH,
) -> Float[Array, ""]:
    """The sum of the loss over valid pairs, from the whole B x B matrix.

    The definition, in plain terms, that every other form is tested against.
    """
    products, negative = negatives_of(image, valid, keys, (text, valid, keys))
    logits = jnp.exp(logit_scale) * products
    logits = jnp.where(negative | jnp.eye(len(keys), dtype=bool), logits, MASKED)
    rows = jax.nn.logsumexp(logits, axis=1) - jnp.diagonal(logits)
    columns = jax.nn.logsumexp(logits, axis=0) - jnp.diagonal(logits)
    return jnp.where(valid, weights[0] * rows + weights[1] * columns, 0).sum()


def tiled_softmax(
    mesh: Mesh,
    sweep: Callable,
    weights: tuple[float, float] = BOTH,
):
    """`dense_softmax` with memory O(rows on a device x tile) and the same gradients.

    A tile of logits serves both directions and is computed again in the backward pass,
    so nothing of size b x B is ever stored: 8 b B D FLOP a device in both passes.

    The tiles hold negatives only. With the margin m = logsumexp(negatives) - positive
    of a row or column, CE = softplus(m) and dCE/dpositive = -sigmoid(m): unlike
    logsumexp(all) - positive and softmax - 1 these keep their precision when the
    positives win, however small the loss and its gradient have become.

    Args:
      mesh: the devices that share the rows.
      sweep: how columns come by (objectives/sweep.py), with its tile_size.
      weights: of the two directions.
    """
    pair_rows = (ROWS, ROWS, SAME, ROWS, ROWS)

    forward = collectives.map_rows(
        lambda *inputs: _local_forward(sweep, weights, inputs),
        mesh,
        in_specs=pair_rows,
        out_specs=(SAME, ROWS, ROWS),
    )
    backward = collectives.map_rows(
        lambda *args: _local_backward(sweep, weights, *args),
        mesh,
        in_specs=(pair_rows, (ROWS, ROWS), SAME),
        out_specs=(ROWS, ROWS, SAME),
    )

    @jax.custom_vjp
    def loss(image, text, logit_scale, valid, keys):
        return forward(image, text, logit_scale, valid, keys)[0]

    def loss_forward(*inputs):
        total, *margins = forward(*inputs)
        return total, (inputs, tuple(margins))

    def loss_backward(residuals, cotangent):
        return *backward(*residuals, cotangent), None, None

    loss.defvjp(loss_forward, loss_backward)
    return loss


def negatives_of(image, valid, keys, columns):
    """(products in float32, where they are negatives) of the rows and a tile."""
    text, text_valid, text_keys = columns
    products = jnp.matmul(image, text.T, preferred_element_type=jnp.float32)
    return products, valid[:, None] & text_valid & (keys[:, None] != text_keys)


def positives_of(image, text, scale):
    """The diagonal of S for the rows at home, [b]."""
    return scale * (image.astype(jnp.float32) * text.astype(jnp.float32)).sum(-1)


def _masked_logits(image, scale, valid, keys, columns):
    products, negative = negatives_of(image, valid, keys, columns)
    return jnp.where(negative, scale * products, MASKED)


def _include(stats, logits, axis):
    """Running (max, sum of exp(logits - max)) with the logits of one more tile."""
    old_max, old_sum = stats
    highest = jnp.maximum(old_max, logits.max(axis))
    added = jnp.exp(logits - jnp.expand_dims(highest, axis)).sum(axis)
    return highest, old_sum * jnp.exp(old_max - highest) + added


def _combine_stats(stats):
    """The (max, sum) of all columns from every device's share -> those at home."""
    highest = collectives.max_over_rows(stats[0])
    total = collectives.sum_to_own_rows(stats[1] * jnp.exp(stats[0] - highest))
    return collectives.own_rows(highest, len(total)), total


def _local_forward(sweep, weights, inputs):
    """One device's share: (total over the batch, margins of rows, of columns)."""
    image, text, logit_scale, valid, keys = inputs
    scale = jnp.exp(logit_scale)

    def visit(rows, columns, stats):
        logits = _masked_logits(image, scale, valid, keys, columns)
        return _include(rows, logits, 1), _include(stats, logits, 0)

    def start(count):
        return jnp.full(count, MASKED), jnp.zeros(count)

    rows, columns = sweep(
        visit, start(len(image)), (text, valid, keys), start, _combine_stats
    )
    positives = positives_of(image, text, scale)
    of_rows, of_columns = (
        highest - positives + jnp.log(total) for highest, total in (rows, columns)
    )
    loss = weights[0] * jax.nn.softplus(of_rows)
    loss += weights[1] * jax.nn.softplus(of_columns)
    total = collectives.sum_over_rows(jnp.where(valid, loss, 0).sum())
    return total, of_rows, of_columns


def _local_backward(sweep, weights, inputs, margins, cotangent):
    """One device's share of the gradients of image, text and logit_scale.

    The gradient of S is G = softmax over rows + softmax over columns, weighted, - 1:
    the negatives tile by tile, the positives once, at home. As G sums to zero,
    sum(G * S) = sum(G * (S - c)) for any c; with the mean positive as c little cancels.
    """
    image, text, logit_scale, valid, keys = inputs
    of_rows, of_columns = margins
    scale = jnp.exp(logit_scale)
    positives = jnp.where(valid, positives_of(image, text, scale), 0)
    centre = collectives.mean_over_rows(positives)
    row_total = positives + jax.nn.softplus(of_rows)  # logsumexp of the whole row
    column_total = positives + jax.nn.softplus(of_columns)

    def visit(carry, columns, text_gradient):
        image_gradient, scale_gradient = carry
        *columns, their_total = columns
        logits = _masked_logits(image, scale, valid, keys, columns)
        by_row = weights[0] * jnp.exp(logits - row_total[:, None])
        gradient = by_row + weights[1] * jnp.exp(logits - their_total)
        scale_gradient += (gradient * (logits - centre)).sum()
        gradient = gradient.astype(image.dtype)
        image_gradient += jnp.matmul(
            gradient, columns[0], preferred_element_type=jnp.float32
        )
        text_gradient += jnp.matmul(
            gradient.T, image, preferred_element_type=jnp.float32
        )
        return (image_gradient, scale_gradient), text_gradient

    (image_gradient, scale_gradient), text_gradient = sweep(
        visit,
        (jnp.zeros(image.shape), jnp.zeros(())),
        (text, valid, keys, column_total),
        lambda count: jnp.zeros((count, image.shape[1])),
        collectives.sum_to_own_rows,
    )
    pull = weights[0] * jax.nn.sigmoid(of_rows)
    pull += weights[1] * jax.nn.sigmoid(of_columns)
    pull = jnp.where(valid, pull, 0)
    scale_gradient -= (pull * (positives - centre)).sum()
    pull = pull[:, None]
    factor = cotangent * scale
    image_gradient = factor * (image_gradient - pull * text)
    text_gradient = factor * (text_gradient - pull * image)
    return (
        image_gradient.astype(image.dtype),
        text_gradient.astype(text.dtype),
        collectives.sum_over_rows(scale_gradient) * cotangent,
    )

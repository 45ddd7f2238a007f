"""The symmetric softmax contrastive loss over the global batch.

With L2-normalised image and text embeddings i, t of B pairs, s = exp(logit_scale):

    S = s i t^T        loss = (CE(rows of S) + CE(columns of S)) / 2

where the right class of row k is k (Radford et al. 2021, arXiv:2103.00020, figure 3).
Rows that only fill up a batch (`valid` false) are neither positives nor negatives.
"""

import jax
import jax.numpy as jnp
from einops import rearrange
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float

from vlp_jax.core.errors import check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.parallel import collectives
from vlp_jax.parallel.collectives import ROWS, SAME

MASKED = -1e30  # finite, so that a row without any column still has no NaN


def dense_loss(
    image: Float[Array, "B D"],
    text: Float[Array, "B D"],
    logit_scale: Float[Array, ""],
    valid: Bool[Array, " B"],
) -> Float[Array, ""]:
    """The sum of the loss over valid pairs, from the whole B x B matrix.

    The definition, in plain terms, that every other form is tested against.
    """
    logits = jnp.exp(logit_scale) * image @ text.T
    logits = jnp.where(valid[:, None] & valid[None, :], logits, MASKED)
    rows = jax.nn.logsumexp(logits, axis=1)
    columns = jax.nn.logsumexp(logits, axis=0)
    loss = (rows + columns) / 2 - jnp.diagonal(logits)
    return jnp.where(valid, loss, 0).sum()


def tiled_loss(mesh: Mesh, tile_size: int = 1024):
    """`dense_loss` with memory O(rows on a device x tile) and the same gradients.

    Each device gathers the text embeddings and visits them in tiles; a tile of logits
    serves both directions and is computed again in the backward pass, so nothing of
    size b x B is ever stored.

    The tiles hold negatives only. With the margin m = logsumexp(negatives) - positive
    of a row or column, CE = softplus(m) and dCE/dpositive = -sigmoid(m): unlike
    logsumexp(all) - positive and softmax - 1 these keep their precision when the
    positives win, however small the loss and its gradient have become.
    """
    pair_rows = (ROWS, ROWS, SAME, ROWS)
    forward = collectives.map_rows(
        lambda *args: _local_forward(*args, tile_size),
        mesh,
        in_specs=pair_rows,
        out_specs=(SAME, ROWS, ROWS),
    )
    backward = collectives.map_rows(
        lambda *args: _local_backward(*args, tile_size),
        mesh,
        in_specs=(pair_rows, (ROWS, ROWS), SAME),
        out_specs=(ROWS, ROWS, SAME),
    )

    @jax.custom_vjp
    def loss(image, text, logit_scale, valid):
        return forward(image, text, logit_scale, valid)[0]

    def loss_forward(*inputs):
        total, *margins = forward(*inputs)
        return total, (inputs, tuple(margins))

    def loss_backward(residuals, cotangent):
        return *backward(*residuals, cotangent), None

    loss.defvjp(loss_forward, loss_backward)
    return loss


def _tiles(x: jax.Array, tile_size: int) -> jax.Array:
    """[B, ...] -> [tiles, tile, ...], filled up with zeros (False)."""
    tile = min(tile_size, len(x))
    missing = -len(x) % tile
    x = jnp.pad(x, ((0, missing),) + ((0, 0),) * (x.ndim - 1))
    return rearrange(x, "(tile column) ... -> tile column ...", column=tile)


def _everyone(text, valid):
    """(texts of the batch, their valid mask, their positions; positions at home)."""
    texts, texts_valid = collectives.gather_rows(text), collectives.gather_rows(valid)
    positions = jnp.arange(len(texts))
    return texts, texts_valid, positions, collectives.own_rows(positions, len(text))


def _negatives(image, scale, valid, home, columns):
    """The logits of one tile in float32, MASKED but for the negatives, [b, tile]."""
    text, text_valid, positions = columns
    products = jnp.matmul(image, text.T, preferred_element_type=jnp.float32)
    pairs = valid[:, None] & text_valid & (home[:, None] != positions)
    return jnp.where(pairs, scale * products, MASKED)


def _positives(image, text, scale):
    """The diagonal of S for the rows at home, [b]."""
    return scale * (image.astype(jnp.float32) * text.astype(jnp.float32)).sum(-1)


def _local_forward(image, text, logit_scale, valid, tile_size):
    """One device's share: (total over the batch, margins of rows, of columns)."""
    scale = jnp.exp(logit_scale)
    b = len(image)
    *everyone, home = _everyone(text, valid)

    def visit(rows, columns):
        row_max, row_sum = rows
        logits = _negatives(image, scale, valid, home, columns)
        new_max = jnp.maximum(row_max, logits.max(axis=1))
        row_sum = row_sum * jnp.exp(row_max - new_max)
        row_sum = row_sum + jnp.exp(logits - new_max[:, None]).sum(axis=1)
        column_max = logits.max(axis=0)
        column_sum = jnp.exp(logits - column_max).sum(axis=0)
        return (new_max, row_sum), (column_max, column_sum)

    start = jnp.full(b, MASKED), jnp.zeros(b)
    rows, columns = jax.lax.scan(
        visit,
        jax.tree.map(collectives.varying, start),
        tuple(_tiles(x, tile_size) for x in everyone),
    )
    positives = _positives(image, text, scale)
    of_rows = rows[0] - positives + jnp.log(rows[1])
    column_max, column_sum = (x.reshape(-1) for x in columns)
    highest = collectives.max_over_rows(column_max)
    column_sum = collectives.sum_over_rows(column_sum * jnp.exp(column_max - highest))
    highest, column_sum = (collectives.own_rows(x, b) for x in (highest, column_sum))
    of_columns = highest - positives + jnp.log(column_sum)
    loss = jax.nn.softplus(of_rows) + jax.nn.softplus(of_columns)
    total = collectives.sum_over_rows(jnp.where(valid, loss / 2, 0).sum())
    return total, of_rows, of_columns


def _local_backward(inputs, margins, cotangent, tile_size):
    """One device's share of the gradients of image, text and logit_scale.

    The gradient of S is G = (softmax over rows + softmax over columns) / 2 - 1: the
    negatives tile by tile, the positives once, at home. sum(G * S) is written with
    S - S_kk, which avoids cancellation and makes the positives' part vanish.
    """
    image, text, logit_scale, valid = inputs
    of_rows, of_columns = margins
    scale = jnp.exp(logit_scale)
    positives = _positives(image, text, scale)
    row_loss = jax.nn.softplus(of_rows)
    *everyone, home = _everyone(text, valid)
    everyone += map(collectives.gather_rows, (jax.nn.softplus(of_columns), positives))

    def visit(carry, columns):
        image_gradient, scale_gradient = carry
        *columns, column_loss, their_positives = columns
        logits = _negatives(image, scale, valid, home, columns)
        row_gap, column_gap = logits - positives[:, None], logits - their_positives
        by_row = jnp.exp(row_gap - row_loss[:, None])
        by_column = jnp.exp(column_gap - column_loss)
        weights = (by_row + by_column).astype(image.dtype)
        image_gradient += jnp.matmul(
            weights, columns[0], preferred_element_type=jnp.float32
        )
        text_gradient = jnp.matmul(weights.T, image, preferred_element_type=jnp.float32)
        scale_gradient += (by_row * row_gap).sum()
        scale_gradient += (by_column * column_gap).sum()
        return (image_gradient, scale_gradient), text_gradient

    start = jnp.zeros(image.shape), jnp.zeros(())
    (image_gradient, scale_gradient), text_gradient = jax.lax.scan(
        visit,
        jax.tree.map(collectives.varying, start),
        tuple(_tiles(x, tile_size) for x in everyone),
    )
    text_gradient = rearrange(text_gradient, "tile column d -> (tile column) d")
    batch = len(everyone[0])  # without the rows that fill the last tile
    text_gradient = collectives.sum_to_own_rows(text_gradient[:batch])
    pull = jax.nn.sigmoid(of_rows) + jax.nn.sigmoid(of_columns)
    pull = jnp.where(valid, pull, 0)[:, None]
    factor = cotangent * scale / 2
    image_gradient = factor * (image_gradient - pull * text)
    text_gradient = factor * (text_gradient - pull * image)
    scale_gradient = collectives.sum_over_rows(scale_gradient) * cotangent / 2
    return (
        image_gradient.astype(image.dtype),
        text_gradient.astype(text.dtype),
        scale_gradient,
    )


IMPLEMENTATIONS = {"dense": lambda mesh, tile_size: dense_loss, "gather": tiled_loss}


class Contrastive:
    """CLIP's loss as an objective.

    Args:
      mesh: the devices that share the batch.
      implementation: 'gather' (tiles, little memory) or 'dense' (the whole matrix;
        for tests and small batches on one device).
      tile_size: columns of the matrix that exist at one time.
    """

    scope = "global"
    needs = (
        Need("image_embedding"),
        Need("text_embedding"),
        Need("logit_scale"),
        Need("valid"),
    )

    def __init__(
        self, mesh: Mesh, implementation: str = "gather", tile_size: int = 1024
    ):
        check_range("objectives.contrastive.tile_size", tile_size, 1)
        make = lookup(IMPLEMENTATIONS, implementation, "contrastive implementation")
        self._loss = make(mesh, tile_size)

    def initial_state(self):
        return ()

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        image, text, logit_scale, valid = (outputs[need] for need in self.needs)
        return Term(
            total=self._loss(image, text, logit_scale, valid),
            count=valid.sum().astype(jnp.float32),
            metrics={"scale": jnp.exp(logit_scale)},
        )

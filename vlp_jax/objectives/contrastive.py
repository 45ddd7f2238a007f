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

from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.parallel import collectives
from vlp_jax.parallel.collectives import ROWS, SAME

MASKED = -1e30  # finite, so that a row without any column still has no NaN


def dense_loss(
    image: Float[Array, "B D"],
    text: Float[Array, "B D"],
    logit_scale: Float[Array, ""],
    valid: Bool[Array, "B"],
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
        in_specs=pair_rows + (ROWS, ROWS, SAME),
        out_specs=(ROWS, ROWS, SAME),
    )

    @jax.custom_vjp
    def loss(image, text, logit_scale, valid):
        return forward(image, text, logit_scale, valid)[0]

    def loss_forward(*inputs):
        total, row_lse, column_lse = forward(*inputs)
        return total, (*inputs, row_lse, column_lse)

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


def _logits(image, text, scale, valid, text_valid):
    """Masked logits of one tile, [b, tile] in float32."""
    products = jnp.matmul(image, text.T, preferred_element_type=jnp.float32)
    return jnp.where(valid[:, None] & text_valid, scale * products, MASKED)


def _positives(image, text, scale):
    """The diagonal of S for the rows at home, [b]."""
    return scale * (image.astype(jnp.float32) * text.astype(jnp.float32)).sum(-1)


def _local_forward(image, text, logit_scale, valid, tile_size):
    """One device's share: (total over the batch, log-sum-exp of its rows, columns)."""
    scale = jnp.exp(logit_scale)
    b = len(image)

    def visit(rows, columns):
        row_max, row_sum = rows
        logits = _logits(image, columns[0], scale, valid, columns[1])
        new_max = jnp.maximum(row_max, logits.max(axis=1))
        row_sum = row_sum * jnp.exp(row_max - new_max)
        row_sum = row_sum + jnp.exp(logits - new_max[:, None]).sum(axis=1)
        column_max = logits.max(axis=0)
        column_sum = jnp.exp(logits - column_max).sum(axis=0)
        return (new_max, row_sum), (column_max, column_sum)

    texts = _tiles(collectives.gather_rows(text), tile_size)
    texts_valid = _tiles(collectives.gather_rows(valid), tile_size)
    start = jnp.full(b, MASKED), jnp.zeros(b)
    rows, columns = jax.lax.scan(
        visit, jax.tree.map(collectives.varying, start), (texts, texts_valid)
    )
    row_lse = rows[0] + jnp.log(rows[1])
    column_max, column_sum = (x.reshape(-1) for x in columns)
    highest = collectives.max_over_rows(column_max)
    column_sum = collectives.sum_over_rows(column_sum * jnp.exp(column_max - highest))
    column_lse = collectives.own_rows(highest + jnp.log(column_sum), b)
    loss = (row_lse + column_lse) / 2 - _positives(image, text, scale)
    total = collectives.sum_over_rows(jnp.where(valid, loss, 0).sum())
    return total, row_lse, column_lse


def _local_backward(
    image, text, logit_scale, valid, row_lse, column_lse, cotangent, tile_size
):
    """One device's share of the gradients of image, text and logit_scale.

    The gradient of S is G = (softmax over rows + softmax over columns) / 2 - 1. The
    softmaxes are summed tile by tile; the 1 of the positives is taken off once, at
    home. sum(G * S) is written with S - S_kk, which avoids cancellation.
    """
    scale = jnp.exp(logit_scale)
    positives = _positives(image, text, scale)

    def visit(carry, columns):
        image_gradient, scale_gradient = carry
        texts, texts_valid, lse, their_positives = columns
        logits = _logits(image, texts, scale, valid, texts_valid)
        pairs = valid[:, None] & texts_valid
        by_row = jnp.where(pairs, jnp.exp(logits - row_lse[:, None]), 0)
        by_column = jnp.where(pairs, jnp.exp(logits - lse), 0)
        weights = (by_row + by_column).astype(image.dtype)
        image_gradient += jnp.matmul(weights, texts, preferred_element_type=jnp.float32)
        text_gradient = jnp.matmul(weights.T, image, preferred_element_type=jnp.float32)
        scale_gradient += (by_row * (logits - positives[:, None])).sum()
        scale_gradient += (by_column * (logits - their_positives)).sum()
        return (image_gradient, scale_gradient), text_gradient

    everywhere = [
        collectives.gather_rows(x) for x in (text, valid, column_lse, positives)
    ]
    columns = tuple(_tiles(x, tile_size) for x in everywhere)
    start = jnp.zeros(image.shape), jnp.zeros(())
    (image_gradient, scale_gradient), text_gradient = jax.lax.scan(
        visit, jax.tree.map(collectives.varying, start), columns
    )
    text_gradient = rearrange(text_gradient, "tile column d -> (tile column) d")
    batch = len(everywhere[0])  # without the rows that fill the last tile
    text_gradient = collectives.sum_to_own_rows(text_gradient[:batch])
    home = valid[:, None] * 2.0
    factor = cotangent * scale / 2
    image_gradient = factor * (image_gradient - home * text)
    text_gradient = factor * (text_gradient - home * image)
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

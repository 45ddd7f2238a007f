"""The sigmoid loss (SigLIP): every pair of the batch is a question of its own.

With L2-normalised image and text embeddings i, t of B pairs, s = exp(logit_scale):

    z = s i t^T + logit_bias
    loss = mean over rows of (softplus(-z_kk) + sum over j != k of softplus(z_kj))

(Zhai et al. 2023, arXiv:2303.15343, section 3.2). Rows that only fill up a batch are
left out, and two pairs of the same key are no negatives of each other.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.objectives.softmax import negatives_of, positives_of
from vlp_jax.objectives.sweep import PairLoss
from vlp_jax.parallel import collectives
from vlp_jax.parallel.collectives import ROWS, SAME

BIAS = Need("logit_bias")


def dense_sigmoid(
    image: Float[Array, "B D"],
    text: Float[Array, "B D"],
    logit_scale: Float[Array, ""],
    logit_bias: Float[Array, ""],
    valid: Bool[Array, " B"],
    keys: Int[Array, " B"],
) -> Float[Array, ""]:
    """The sum of the loss over valid rows, from the whole B x B matrix."""
    products, negative = negatives_of(image, valid, keys, (text, valid, keys))
    logits = jnp.exp(logit_scale) * products + logit_bias
    positive = jnp.where(valid, jax.nn.softplus(-jnp.diagonal(logits)), 0)
    return positive.sum() + jnp.where(negative, jax.nn.softplus(logits), 0).sum()


def tiled_sigmoid(mesh: Mesh, sweep: Callable):
    """`dense_sigmoid` with memory O(rows on a device x tile) and the same gradients.

    The loss needs no normaliser, so one trip of the columns yields the loss and all
    gradients: 6 b B D FLOP a device. Without differentiation only the loss is made.
    """
    inputs = (ROWS, ROWS, SAME, SAME, ROWS, ROWS)

    def local(differentiate: bool, out_specs):
        return collectives.map_rows(
            lambda *args: _local(sweep, differentiate, *args),
            mesh,
            in_specs=inputs,
            out_specs=out_specs,
        )

    value = local(False, SAME)
    value_and_gradients = local(True, (SAME, (ROWS, ROWS, SAME, SAME)))

    @jax.custom_vjp
    def loss(image, text, logit_scale, logit_bias, valid, keys):
        return value(image, text, logit_scale, logit_bias, valid, keys)

    def backward(gradients, cotangent):
        scaled = [(cotangent * g).astype(g.dtype) for g in gradients]
        return *scaled, None, None

    loss.defvjp(value_and_gradients, backward)
    return loss


def _local(sweep, differentiate, image, text, logit_scale, *rest):
    """One device's share: the total over the batch, and its gradients if wanted."""
    logit_bias, valid, keys = rest
    scale = jnp.exp(logit_scale)

    def logits_of(columns):
        products, negative = negatives_of(image, valid, keys, columns)
        return scale * products + logit_bias, negative

    def visit_value(total, columns, riding):
        logits, negative = logits_of(columns)
        return total + jnp.where(negative, jax.nn.softplus(logits), 0).sum(), riding

    def visit(carry, columns, text_gradient):
        total, image_gradient, scale_gradient, bias_gradient = carry
        logits, negative = logits_of(columns)
        total += jnp.where(negative, jax.nn.softplus(logits), 0).sum()
        push = jnp.where(negative, jax.nn.sigmoid(logits), 0)
        scale_gradient += (push * (logits - logit_bias)).sum()
        bias_gradient += push.sum()
        push = push.astype(image.dtype)
        image_gradient += jnp.matmul(
            push, columns[0], preferred_element_type=jnp.float32
        )
        text_gradient += jnp.matmul(push.T, image, preferred_element_type=jnp.float32)
        return (total, image_gradient, scale_gradient, bias_gradient), text_gradient

    positives = positives_of(image, text, scale)
    columns, zero = (text, valid, keys), jnp.zeros(())
    own = jnp.where(valid, jax.nn.softplus(-positives - logit_bias), 0).sum()
    if not differentiate:
        total, _ = sweep(visit_value, zero, columns, lambda n: (), tuple)
        return collectives.sum_over_rows(total + own)
    (total, image_gradient, *scalars), text_gradient = sweep(
        visit,
        (zero, jnp.zeros(image.shape), zero, zero),
        columns,
        lambda count: jnp.zeros((count, image.shape[1])),
        collectives.sum_to_own_rows,
    )
    pull = jnp.where(valid, jax.nn.sigmoid(-positives - logit_bias), 0)
    scalars = scalars[0] - (pull * positives).sum(), scalars[1] - pull.sum()
    pull = pull[:, None]
    gradients = (
        (scale * (image_gradient - pull * text)).astype(image.dtype),
        (scale * (text_gradient - pull * image)).astype(text.dtype),
        *map(collectives.sum_over_rows, scalars),
    )
    return collectives.sum_over_rows(total + own), gradients


class Sigmoid(PairLoss):
    """SigLIP's loss as an objective; the model needs `logit_bias_init`.

    Args: those of PairLoss (objectives/sweep.py).
    """

    def __init__(
        self,
        mesh: Mesh,
        implementation: str = "auto",
        tile_size: int = 256,
        mask_duplicates: bool = False,
        dtype: str = "float32",
    ):
        super().__init__(mesh, implementation, tile_size, mask_duplicates, dtype)
        self.needs += (BIAS,)

    def loss_function(self, implementation: str):
        if implementation == "dense":
            return dense_sigmoid
        return tiled_sigmoid(self.mesh, self.sweep(implementation))

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        image, text, scale, valid, keys = self.inputs(outputs)
        bias = outputs[BIAS]
        loss = self.loss_function(self.choose(len(image))[0])
        return Term(
            total=loss(image, text, scale, bias, valid, keys),
            count=valid.sum().astype(jnp.float32),
            metrics={"scale": jnp.exp(scale), "bias": bias},
        )

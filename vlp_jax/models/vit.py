"""The vision transformer as CLIP has it."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from vlp_jax.core.lookup import lookup
from vlp_jax.models.layers import LayerNorm
from vlp_jax.models.towers import ImageTower

POOLS = {
    "class": lambda tokens: tokens[:, 0],
    "mean": lambda tokens: tokens[:, 1:].mean(axis=1),
}


class ViT(ImageTower, kw_only=True):
    """Image tower: patches, class token, pre-norm, transformer, pooled token.

    Dosovitskiy et al. 2021 (arXiv:2010.11929) with the changes of CLIP (Radford et
    al. 2021, arXiv:2103.00020, section 2.4): no bias in the patch embedding and a
    layer norm before the first block.
    """

    pool: str = "class"

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height column 3"]
    ) -> Float[Array, "batch width"]:
        tokens = self.embed_patches(images, use_bias=False)
        normal = nn.initializers.normal(self.width**-0.5)
        class_token = self.param("class_token", normal, (self.width,))
        position = self.param(
            "position_embedding", normal, (tokens.shape[1] + 1, self.width)
        ).astype(tokens.dtype)
        tokens = self.drop_patches(tokens + position[1:])
        first = class_token.astype(tokens.dtype) + position[0]
        first = jnp.broadcast_to(first, (tokens.shape[0], 1, self.width))
        tokens = jnp.concatenate([first, tokens], axis=1)
        tokens = LayerNorm(self.norm_epsilon, self.dtype, name="norm_pre")(tokens)
        tokens = self.encode(tokens)
        pooled = lookup(POOLS, self.pool, "image pooling")(tokens)
        return LayerNorm(self.norm_epsilon, self.dtype, name="norm_post")(pooled)

"""The vision transformer as CLIP has it."""

import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jaxtyping import Array, Float

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.models.layers import Dense, LayerNorm
from vlp_jax.models.transformer import Transformer

POOLS = {
    "class": lambda tokens: tokens[:, 0],
    "mean": lambda tokens: tokens[:, 1:].mean(axis=1),
}


class ViT(nn.Module):
    """Image tower: patches, class token, pre-norm, transformer, pooled token.

    Dosovitskiy et al. 2021 (arXiv:2010.11929) with the changes of CLIP (Radford et
    al. 2021, arXiv:2103.00020, section 2.4): no bias in the patch embedding and a
    layer norm before the first block.
    """

    image_size: int
    patch_size: int
    width: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0
    activation: str = "quick_gelu"
    pool: str = "class"
    norm_epsilon: float = 1e-5
    remat: str = "none"
    scan: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height column 3"]
    ) -> Float[Array, "batch width"]:
        size, patch = self.image_size, self.patch_size
        if images.shape[1:] != (size, size, 3):
            raise ConfigError(
                f"the image tower was built for {size}x{size} pixels and got "
                f"{images.shape[1]}x{images.shape[2]}; set preprocessing.image_size"
            )
        if patch < 1 or size % patch:
            raise ConfigError(
                f"image_size {size} is not a multiple of model.image.patch_size {patch}"
            )
        # A strided convolution is this product; as a product it is faster on CPU.
        patches = rearrange(
            images, "b (row p) (column q) c -> b (row column) (p q c)", p=patch, q=patch
        )
        std = self.width**-0.5
        tokens = Dense(
            self.width, use_bias=False, dtype=self.dtype, name="patch_embedding"
        )(patches)
        normal = nn.initializers.normal(std)
        class_token = self.param("class_token", normal, (self.width,))
        position = self.param(
            "position_embedding", normal, (tokens.shape[1] + 1, self.width)
        )
        first = jnp.broadcast_to(class_token, (len(tokens), 1, self.width))
        tokens = jnp.concatenate([first.astype(tokens.dtype), tokens], axis=1)
        tokens = tokens + position.astype(tokens.dtype)
        tokens = LayerNorm(self.norm_epsilon, self.dtype, name="norm_pre")(tokens)
        tokens = Transformer(
            depth=self.depth,
            heads=self.heads,
            hidden=round(self.width * self.mlp_ratio),
            activation=self.activation,
            norm_epsilon=self.norm_epsilon,
            remat=self.remat,
            scan=self.scan,
            dtype=self.dtype,
            name="encoder",
        )(tokens)
        pooled = lookup(POOLS, self.pool, "image pooling")(tokens)
        return LayerNorm(self.norm_epsilon, self.dtype, name="norm_post")(pooled)

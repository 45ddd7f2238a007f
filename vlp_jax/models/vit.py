"""The vision transformer, as CLIP has it and as it was published before."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from vlp_jax.core.errors import check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.models.layers import LayerNorm
from vlp_jax.models.towers import ImageTower
from vlp_jax.models.transformer import Block
from vlp_jax.models.visual_prompts import (
    prompted_block,
    uniform,
    with_prompts,
    without_prompts,
)

POOLS = {
    "class": lambda tokens: tokens[:, 0],
    "mean": lambda tokens: tokens[:, 1:].mean(axis=1),
    "pooler": lambda tokens: tokens[:, 0],  # with a map after its norm
}


class ViT(ImageTower, kw_only=True):
    """Image tower: patches, class token, pre-norm, transformer, pooled token.

    Dosovitskiy et al. 2021 (arXiv:2010.11929) with the changes of CLIP (Radford et
    al. 2021, arXiv:2103.00020, section 2.4): no bias in the patch embedding and a
    layer norm before the first block. pool: 'class', 'mean' (of the patches), or
    'pooler' (tanh of a linear map of the class token, after its norm).

    position_std: of the initial positions; None: width ** -0.5, as CLIP has it. Beside
    what patches begin as that is little, and a small model learns late what is to the
    left of what (benchmarks/RESULTS.md).

    prompts: learned tokens beside the patches; deep_prompts: others before every block
    (visual_prompts.py).
    """

    pool: str = "class"
    patch_bias: bool = False
    input_norm: bool = True
    position_std: float | None = None
    prompts: int = 0
    deep_prompts: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height column 3"], pooled: bool = True
    ) -> Float[Array, "batch *token width"]:
        """One vector for a picture, or else all its tokens, the class token first."""
        tokens = self.embed_patches(images, use_bias=self.patch_bias)
        normal = nn.initializers.normal(self.width**-0.5)
        class_token = self.param("class_token", normal, (self.width,))
        std = self.width**-0.5 if self.position_std is None else self.position_std
        check_range("model.image.position_std", std, 0)
        position = self.param(
            "position_embedding",
            nn.initializers.normal(std),
            (tokens.shape[1] + 1, self.width),
        ).astype(tokens.dtype)
        tokens = self.drop_patches(tokens + position[1:])
        first = class_token.astype(tokens.dtype) + position[0]
        first = jnp.broadcast_to(first, (tokens.shape[0], 1, self.width))
        tokens = jnp.concatenate([first, tokens], axis=1)
        if self.input_norm:
            tokens = LayerNorm(self.norm_epsilon, self.dtype, name="norm_pre")(tokens)
        if self.prompts or self.deep_prompts:
            tokens = self.prompted(tokens)
        else:
            tokens = self.encode(tokens)
        norm = LayerNorm(self.norm_epsilon, self.dtype, name="norm_post")
        if not pooled:
            return norm(tokens)
        token = norm(lookup(POOLS, self.pool, "image pooling")(tokens))
        return self.map_pooled(token) if self.pool == "pooler" else token

    def prompted(
        self, tokens: Float[Array, "batch token width"]
    ) -> Float[Array, "batch token width"]:
        """The tokens after the last block, which prompts have gone through beside."""
        check_range("model.image.prompts", self.prompts, 1)
        fan, block = 3 * self.patch_size**2 + self.width, Block
        if self.deep_prompts:
            block = prompted_block(self.prompts, fan)
            first = jnp.zeros((self.prompts, self.width))  # the first block has its own
        else:
            first = self.param("prompts", uniform(fan), (self.prompts, self.width))
        tokens = self.encode(with_prompts(tokens, first), block=block)
        return without_prompts(tokens, self.prompts)


class PlainViT(ViT, kw_only=True):
    """Image tower: the vision transformer without CLIP's changes.

    Dosovitskiy et al. 2021 (arXiv:2010.11929) as Hugging Face's ViTModel computes it,
    whose pooler stands where the paper has the hidden layer of its classifier.
    """

    activation: str = "gelu"
    norm_epsilon: float = 1e-12
    pool: str = "pooler"
    patch_bias: bool = True
    input_norm: bool = False

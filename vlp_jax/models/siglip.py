"""The towers of SigLIP (Zhai et al. 2023, arXiv:2303.15343)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from vlp_jax.models.layers import MLP, Attention, LayerNorm
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.towers import ImageTower


class AttentionPool(nn.Module):
    """One learned query over all tokens, then x + mlp(norm(x)).

    The MAP head of Zhai et al. 2022 (arXiv:2106.04560), there after Set Transformer.
    """

    heads: int
    hidden: int
    activation: str = "gelu_tanh"
    norm_epsilon: float = 1e-6
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "batch token width"]
    ) -> Float[Array, "batch width"]:
        batch, _, width = tokens.shape
        std = width**-0.5
        probe = self.param("probe", nn.initializers.normal(std), (width,))
        # A single query: a fused attention would have nothing to save.
        x = Attention(
            self.heads, init_std=std, out_std=std, dtype=self.dtype, name="attention"
        )(
            jnp.broadcast_to(probe.astype(self.dtype), (batch, 1, width)),
            context=tokens,
        )[:, 0]
        h = LayerNorm(self.norm_epsilon, self.dtype, name="norm")(x)
        return x + MLP(self.hidden, self.activation, std, std, self.dtype, name="mlp")(
            h
        )


class SiglipViT(ImageTower, kw_only=True):
    """Image tower: patches, transformer, layer norm, attention pooling.

    Without class token, and without a projection after it: the pooled token is the
    embedding.
    """

    activation: str = "gelu_tanh"
    norm_epsilon: float = 1e-6

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height column 3"], pooled: bool = True
    ) -> Float[Array, "batch *token width"]:
        """One vector for a picture, or else the tokens of its patches."""
        tokens = self.embed_patches(images, use_bias=True)
        position = self.param(
            "position_embedding",
            nn.initializers.normal(self.width**-0.5),
            tokens.shape[1:],
        )
        tokens = self.encode(self.drop_patches(tokens + position.astype(tokens.dtype)))
        tokens = LayerNorm(self.norm_epsilon, self.dtype, name="norm_post")(tokens)
        if not pooled:
            return tokens
        return AttentionPool(
            self.heads,
            self.hidden,
            self.activation,
            self.norm_epsilon,
            self.dtype,
            name="pool",
        )(tokens)


class SiglipText(TextTransformer, kw_only=True):
    """Text tower: the text transformer with every token in sight of every other.

    The last position is read, which is padding for most texts: padding is seen too.
    """

    activation: str = "gelu_tanh"
    norm_epsilon: float = 1e-6
    causal: bool = False
    pool: str = "last"

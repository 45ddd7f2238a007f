"""BERT and RoBERTa as text towers."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.core.lookup import lookup
from vlp_jax.models.layers import LayerNorm
from vlp_jax.models.towers import TextTower


def masked_mean(
    tokens: Float[Array, "batch token width"],
    mask: Bool[Array, "batch token"] | None,
) -> Float[Array, "batch width"]:
    """The mean of the tokens that the mask has, in float32; 0 where it has none."""
    if mask is None:
        return tokens.mean(axis=1, dtype=jnp.float32).astype(tokens.dtype)
    total = tokens.sum(axis=1, dtype=jnp.float32, where=mask[..., None])
    count = jnp.maximum(mask.sum(axis=1, keepdims=True), 1)
    return (total / count).astype(tokens.dtype)


# (tower, tokens, mask) -> what stands for the whole text
POOLS = {
    "pooler": lambda tower, tokens, mask: tower.map_pooled(tokens[:, 0]),
    "class": lambda tower, tokens, mask: tokens[:, 0],
    "mean": lambda tower, tokens, mask: masked_mean(tokens, mask),
}


class Bert(TextTower, kw_only=True):
    """Text tower: an encoder whose layer norms follow what they normalise.

    Devlin et al. 2019 (arXiv:1810.04805). A caption is one segment: every token has
    the first of the `token_types`, if there are any. The class token is the first, the
    tokenizer's start.

    pool: 'pooler' (tanh of a linear map of the class token), 'class' (that token), or
    'mean' (of all tokens but padding).
    """

    activation: str = "gelu"
    norm_epsilon: float = 1e-12
    pool: str = "pooler"
    token_types: int = 2
    first_position: int = 0

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch token"],
        mask: Bool[Array, "batch token"] | None = None,
        pooled: bool = True,
    ) -> Float[Array, "batch *token width"]:
        """What stands for the whole text, or else all its tokens."""
        pool = lookup(POOLS, self.pool, "BERT pooling")
        x = self.states(tokens, mask)
        return pool(self, x, mask) if pooled else x

    def states(
        self,
        tokens: Int[Array, "batch token"],
        mask: Bool[Array, "batch token"] | None,
        *seen,
        **how,
    ) -> Float[Array, "batch token width"]:
        """The tokens after the last layer.

        seen: context, context_mask and position, as Transformer takes them; how:
        `causal` or a `branch`.
        """
        position = seen[2] if len(seen) > 2 else None
        x = self.embed_tokens(tokens, mask, self.first_position, position)
        if self.token_types:
            shape, normal = (self.token_types, self.width), nn.initializers.normal(0.02)
            x += self.param("type_embedding", normal, shape)[0]
        x = LayerNorm(self.norm_epsilon, self.dtype, name="norm_pre")(x)
        return self.encode(x, mask, *seen, post_norm=True, **how)


class Roberta(Bert, kw_only=True):
    """Text tower: BERT without segments, its positions after those of padding.

    Liu et al. 2019 (arXiv:1907.11692); positions as in the authors' fairseq, where
    they start behind the id of padding, 1.
    """

    norm_epsilon: float = 1e-5
    token_types: int = 1
    first_position: int = 2

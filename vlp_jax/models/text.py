"""The text transformer as CLIP has it."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.core.lookup import lookup
from vlp_jax.models.layers import LayerNorm
from vlp_jax.models.towers import TextTower


def last(tokens, mask, eos_id):
    return jnp.full(tokens.shape[0], tokens.shape[1] - 1)


def last_unmasked(tokens, mask, eos_id):
    """The end token, wherever else its id stands; without a mask the last position."""
    if mask is None:
        return last(tokens, mask, eos_id)
    return tokens.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)


# Position [B] of the token that stands for the whole text.
POOLS = {
    "first_eos": lambda tokens, mask, eos_id: jnp.argmax(tokens == eos_id, axis=1),
    # OpenAI's own rule: in its vocabulary the end of text has the largest id.
    "largest_id": lambda tokens, mask, eos_id: jnp.argmax(tokens, axis=1),
    "last": last,
    "last_unmasked": last_unmasked,
}


class TextTransformer(TextTower, kw_only=True):
    """Text tower: token and position embeddings, transformer, pooled token.

    Radford et al. 2021 (arXiv:2103.00020), section 2.4. In a causal tower nothing
    after the end of the text reaches the pooled token, so padding needs no mask; a
    tower that reads the last position reads padding, and sees it on purpose.
    """

    eos_id: int
    causal: bool = True
    pool: str = "first_eos"

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch token"],
        mask: Bool[Array, "batch token"] | None = None,
        *seen,
        pooled: bool = True,
        extra: Float[Array, "batch token width"] | float = 0.0,
    ) -> Float[Array, "batch *token width"]:
        """seen: context, context_mask and position, as Transformer takes them.

        pooled: what stands for the whole text, or else all tokens. extra: added to the
        embeddings of the tokens.
        """
        position = seen[2] if len(seen) > 2 else None
        x = self.embed_tokens(tokens, position=position, extra=extra)
        x = x.astype(self.dtype)
        sees_padding = self.causal or self.pool == "last"
        x = self.encode(x, None if sees_padding else mask, *seen, causal=self.causal)
        norm = LayerNorm(self.norm_epsilon, self.dtype, name="norm_post")
        if not pooled:
            return norm(x)
        at = lookup(POOLS, self.pool, "text pooling")(tokens, mask, self.eos_id)
        pooled = jnp.take_along_axis(x, at[:, None, None], axis=1)[:, 0]
        return norm(pooled)

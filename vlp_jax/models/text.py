"""The text transformer as CLIP has it."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.models.layers import LayerNorm
from vlp_jax.models.towers import Tower

# Position [B] of the token that stands for the whole text.
POOLS = {
    "first_eos": lambda tokens, eos_id: jnp.argmax(tokens == eos_id, axis=1),
    # OpenAI's own rule: in its vocabulary the end of text has the largest id.
    "largest_id": lambda tokens, eos_id: jnp.argmax(tokens, axis=1),
    "last": lambda tokens, eos_id: jnp.full(tokens.shape[0], tokens.shape[1] - 1),
}


class TextTransformer(Tower, kw_only=True):
    """Text tower: token and position embeddings, transformer, pooled token.

    Radford et al. 2021 (arXiv:2103.00020), section 2.4. In a causal tower nothing
    after the end of the text reaches the pooled token, so padding needs no mask; a
    tower that reads the last position reads padding, and sees it on purpose.
    """

    vocab_size: int
    length: int
    eos_id: int
    causal: bool = True
    pool: str = "first_eos"

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch token"],
        mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch width"]:
        if tokens.shape[1] > self.length:
            raise ConfigError(
                f"the text tower was built for {self.length} tokens and got "
                f"{tokens.shape[1]}; set tokenizer.length"
            )
        embedding = self.param(
            "token_embedding",
            nn.initializers.normal(0.02),
            (self.vocab_size, self.width),
        )
        position = self.param(
            "position_embedding",
            nn.initializers.normal(0.01),
            (self.length, self.width),
        )
        x = embedding[tokens] + position[: tokens.shape[1]]
        sees_padding = self.causal or self.pool == "last"
        x = self.encode(
            x.astype(self.dtype), None if sees_padding else mask, self.causal
        )
        at = lookup(POOLS, self.pool, "text pooling")(tokens, self.eos_id)
        pooled = jnp.take_along_axis(x, at[:, None, None], axis=1)[:, 0]
        return LayerNorm(self.norm_epsilon, self.dtype, name="norm_post")(pooled)

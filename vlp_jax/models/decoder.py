"""Decoders: texts written token by token, with a context in sight."""

from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.models.bert import Bert
from vlp_jax.models.heads import TokenHead, token_scores
from vlp_jax.models.layers import LayerNorm
from vlp_jax.models.towers import TextTower


class BertDecoder(Bert, kw_only=True):
    """A causal BERT that looks at a context, with BERT's head over the vocabulary."""

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch token"],
        context: Float[Array, "batch other depth"],
        context_mask: Bool[Array, "batch other"] | None = None,
        position: Int[Array, ""] | None = None,
    ) -> Float[Array, "batch token vocabulary"]:
        """Scores of the token that follows each one.

        position: of the first token, in a text that is written step by step (see
        Attention). Nothing that follows reaches a token, so padding needs no mask.
        """
        seen = context, context_mask, position
        x = self.states(tokens, None, *seen, causal=True)
        head = TokenHead(self.activation, self.norm_epsilon, self.dtype, name="head")
        return head(x, self.get_variable("params", "token_embedding"))


class Gpt2Decoder(TextTower, kw_only=True):
    """A GPT-2 that looks at a context; the token embedding is its head.

    Radford et al. 2019, with cross-attention as Hugging Face's GPT2LMHeadModel has it.
    """

    activation: str = "gelu_tanh"

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch token"],
        context: Float[Array, "batch other depth"],
        context_mask: Bool[Array, "batch other"] | None = None,
        position: Int[Array, ""] | None = None,
    ) -> Float[Array, "batch token vocabulary"]:
        """As BertDecoder."""
        x = self.embed_tokens(tokens, position=position).astype(self.dtype)
        x = self.encode(x, None, context, context_mask, position, causal=True)
        x = LayerNorm(self.norm_epsilon, self.dtype, name="norm_post")(x)
        embedding = self.get_variable("params", "token_embedding")
        return token_scores(x, embedding, self.dtype)

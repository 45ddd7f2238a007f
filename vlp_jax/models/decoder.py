"""Decoders: texts written token by token, with a context in sight."""

from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.models.bert import Bert
from vlp_jax.models.heads import TokenHead


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

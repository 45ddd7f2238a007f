"""Decoders: texts written token by token, with a context in sight."""

import jax.numpy as jnp
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


def prefix_mask(
    prefix_length: Int[Array, " batch"], length: int
) -> Bool[Array, "batch query seen"]:
    """Who sees whom: all see the prefix, and each token those before it and itself."""
    at = jnp.arange(length)
    return (at < prefix_length[:, None, None]) | (at <= at[:, None])


class PrefixDecoder(TextTower, kw_only=True):
    """A stack that reads a context before the text, and goes on with the text.

    The context and the first tokens of a text see each other, the tokens after them
    what is before them: the prefix language model of SimVLM (Wang et al. 2022,
    arXiv:2108.10904, section 3.1), as one stack. The token embedding is its head.
    """

    activation: str = "gelu"

    @property
    def cache_length(self) -> int:
        return self.length + self.context_length

    @property
    def context_length(self) -> int:
        """How many tokens a context has: known from the first one on."""
        return len(self.get_variable("params", "context_position_embedding"))

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch token"] | None,
        context: Float[Array, "batch other width"] | None,
        prefix_length: Int[Array, " batch"] | None = None,
        position: Int[Array, ""] | None = None,
    ) -> Float[Array, "batch token vocabulary"] | None:
        """Scores of the token that follows each one of the text.

        prefix_length: how many of its tokens are given; None: none of them. position:
        of the first token of what is written step by step, where the context comes
        first and alone (which has no scores), then the tokens without it.
        """
        if position is None:
            x = [self._placed(context), self._embedded(tokens)]
            x, step = jnp.concatenate(x, axis=1), None
            mask = self._mask(len(x), x.shape[1], prefix_length)
        elif tokens is None:
            x, step = self._placed(context), position
            mask = self._mask(len(x), self.cache_length)[:, : x.shape[1]]
        else:
            x, step = self._embedded(tokens, position), self.context_length + position
            mask = None
        x = self.encode(x, mask, None, None, step)
        if tokens is None:
            return None
        norm = LayerNorm(self.norm_epsilon, self.dtype, name="norm_post")
        embedding = self.get_variable("params", "token_embedding")
        return token_scores(norm(x[:, -tokens.shape[1] :]), embedding, self.dtype)

    def _placed(self, context):
        """The context with its positions."""
        normal, shape = nn.initializers.normal(0.01), context.shape[1:]
        places = self.param("context_position_embedding", normal, shape)
        return (context + places).astype(self.dtype)

    def _embedded(self, tokens, position=None):
        return self.embed_tokens(tokens, position=position).astype(self.dtype)

    def _mask(self, rows, length, prefix_length=0):
        """What each of `length` tokens sees, those of the context first."""
        known = self.context_length + (0 if prefix_length is None else prefix_length)
        return prefix_mask(jnp.broadcast_to(known, rows), length)

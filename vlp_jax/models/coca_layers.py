"""The parts of CoCa (Yu et al. 2022, arXiv:2205.01917), as open_clip computes it."""

import jax.numpy as jnp
from einops import repeat
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.models.layers import MLP, Attention, LayerNorm
from vlp_jax.models.towers import TextTower, Tower
from vlp_jax.models.transformer import Block, dropout
from vlp_jax.parallel.sharding import constrain


class QueryPool(nn.Module):
    """Learned queries that look at the tokens of a picture, normalised.

    The attentional pooler of section 3.2, after Set Transformer (arXiv:1810.00825).
    """

    queries: int
    width: int
    heads: int
    norm_epsilon: float = 1e-5
    attention: str = "xla"
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "batch patch depth"]
    ) -> Float[Array, "batch query width"]:
        size, std = (self.queries, self.width), self.width**-0.5
        query = self.param("query", nn.initializers.normal(1.0), size)
        query = LayerNorm(self.norm_epsilon, self.dtype, name="norm_query")(query)
        rows = repeat(query, "query width -> batch query width", batch=len(tokens))
        x = Attention(
            self.heads,
            implementation=self.attention,
            init_std=std,
            out_std=std,
            dtype=self.dtype,
            name="attention",
        )(rows, context=tokens)
        return LayerNorm(self.norm_epsilon, self.dtype, name="norm_post")(x)


class CocaText(TextTower, kw_only=True):
    """Text tower: causal, with a class token behind the text that stands for it.

    Padding is told by its id and out of sight, one place too late: a text sees the
    padding that follows its end, and its class token does not see itself where the
    text is padded. Released weights were trained so; `shifted_mask=False` hides all
    padding and nothing else.

    padding_id: what the tower reads in place of padding (0 in released weights, which
    also is a word of their tokenizer and hides the next one); None: the tokenizer's.
    """

    pad_id: int
    padding_id: int | None = None
    shifted_mask: bool = True

    @property
    def pool(self) -> str:
        """Where the text is read: whether there is padding matters, or does not."""
        return "last" if self.shifted_mask else "class"

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch token"],
        mask: Bool[Array, "batch token"] | None = None,
        position: Int[Array, ""] | None = None,
        pooled: bool = True,
    ) -> Float[Array, "batch *token width"]:
        """The normalised class token, or else all tokens, and that one behind them.

        position: of the first of the tokens, in a text that is written step by step;
        there is no class token then.
        """
        if position is not None:
            x = self.embed_tokens(tokens, position=position).astype(self.dtype)
            return self.encode(x, None, None, None, position, causal=True)
        padding = self.pad_id if self.padding_id is None else self.padding_id
        if mask is not None:
            tokens = jnp.where(mask, tokens, padding)
        x = self.embed_tokens(tokens).astype(self.dtype)
        names, normal = ("class_token", "class_position"), nn.initializers.normal(0.01)
        last = sum(self.param(name, normal, (self.width,)) for name in names)
        last = repeat(
            last.astype(x.dtype), "width -> batch one width", batch=len(x), one=1
        )
        before, behind = (1, 0) if self.shifted_mask else (0, 1)
        seen = jnp.pad(
            tokens != padding, ((0, 0), (before, behind)), constant_values=True
        )
        x = self.encode(jnp.concatenate([x, last], axis=1), seen, causal=True)
        last = LayerNorm(self.norm_epsilon, self.dtype, name="norm_post")(x[:, -1:])
        return jnp.concatenate([x[:, :-1], last], axis=1) if not pooled else last[:, 0]


class CocaBlock(Block):
    """A block of the tokens by themselves, then one in which they look at a context.

    Each with an MLP of its own; the context is normalised too.
    """

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch token width"],
        mask: Bool[Array, "batch *query seen"] | None = None,
        context: Float[Array, "batch other depth"] | None = None,
        context_mask: Bool[Array, "batch other"] | None = None,
        position: Int[Array, ""] | None = None,
        branch: str = "",
    ) -> Float[Array, "batch token width"]:
        x = super().__call__(x, mask, position=position)
        width = x.shape[-1]
        out_std = (2 * self.depth * width) ** -0.5

        def norm(name, x):
            return LayerNorm(self.norm_epsilon, self.dtype, name=name)(x)

        found = Attention(
            self.heads,
            init_std=width**-0.5,
            out_std=out_std,
            implementation=self.attention,
            dtype=self.dtype,
            name="cross_attention",
        )(norm("norm_cross", x), context_mask, norm("norm_context", context))
        x = x + dropout(self, self.dropout)(found)
        found = MLP(
            self.hidden,
            self.activation,
            (2 * width) ** -0.5,
            out_std,
            self.dtype,
            name="cross_mlp",
        )(norm("norm_cross_mlp", x))
        return constrain(x + dropout(self, self.dropout)(found))


class CocaFusion(Tower, kw_only=True):
    """The multimodal layers: the states of a text that has seen a picture, normalised.

    length: of the texts, of which a step may be at any position.
    """

    length: int

    @property
    def cache_length(self) -> int:
        return self.length

    @nn.compact
    def __call__(
        self,
        states: Float[Array, "batch token width"],
        mask: Bool[Array, "batch token"] | None,
        context: Float[Array, "batch other depth"],
        context_mask: Bool[Array, "batch other"] | None = None,
        position: Int[Array, ""] | None = None,
    ) -> Float[Array, "batch token width"]:
        """position: of the first of the states, in a text that is written."""
        seen = context, context_mask, position
        x = self.encode(states, mask, *seen, causal=True, block=CocaBlock)
        return LayerNorm(self.norm_epsilon, self.dtype, name="norm_post")(x)

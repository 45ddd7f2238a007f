"""BERT as BLIP uses it: one tower that reads texts in two ways, and writes them."""

from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.core.lookup import lookup
from vlp_jax.models.bert import POOLS, Bert

WRITING = "decoder_"  # names its self-attention and the norm after that


class MixedBert(Bert, kw_only=True):
    """Text tower: reads a text alone, or with a context in sight, or writes one.

    The mixture of encoder and decoder of Li et al. 2022 (arXiv:2201.12086, section
    3.1): every layer has cross-attention, which is left out where there is no context,
    and a second, causal self-attention to write with; all else is shared. There are
    only the parameters of what the model does.
    """

    token_types: int = 0

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch token"],
        mask: Bool[Array, "batch token"] | None = None,
        *seen,
        writes: bool = False,
        pooled: bool = True,
    ) -> Float[Array, "batch *token width"]:
        """What stands for the whole text, or else all tokens after the last layer.

        seen: context, context_mask and position, as Transformer takes them.
        """
        pool = lookup(POOLS, self.pool, "BERT pooling")
        x = self.states(tokens, mask, *seen, branch=WRITING if writes else "")
        return pool(self, x, mask) if pooled else x

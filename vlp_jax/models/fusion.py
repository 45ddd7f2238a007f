"""Text tokens that look at those of a picture, layer by layer."""

from flax import linen as nn
from jaxtyping import Array, Bool, Float

from vlp_jax.models.towers import Tower


class BertFusion(Tower, kw_only=True):
    """The upper layers of a BERT, with cross-attention to the tokens of a picture.

    ALBEF (Li et al. 2021, arXiv:2107.07651): in each layer the text looks at itself,
    then at the picture. width: that of the text.
    """

    activation: str = "gelu"
    norm_epsilon: float = 1e-12

    @nn.compact
    def __call__(
        self,
        states: Float[Array, "batch token width"],
        mask: Bool[Array, "batch token"] | None,
        context: Float[Array, "batch other depth"],
        context_mask: Bool[Array, "batch other"] | None = None,
    ) -> Float[Array, "batch token width"]:
        return self.encode(states, mask, context, context_mask, post_norm=True)

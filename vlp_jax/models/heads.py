"""What is read off the tokens of a joint encoder or a decoder."""

from collections.abc import Callable

import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jaxtyping import Array, Float

from vlp_jax.core.lookup import lookup
from vlp_jax.models.layers import ACTIVATIONS, DTYPES, Dense, LayerNorm


def token_scores(
    x: Float[Array, "batch token width"],
    embedding: Float[Array, "vocabulary width"],
    dtype: str,
) -> Float[Array, "batch token vocabulary"]:
    """Scores of all tokens of the vocabulary by the token embedding, in float32."""
    kernel = embedding.T.astype(lookup(DTYPES, dtype, "dtype"))
    rows = rearrange(x, "batch token width -> (batch token) width")
    logits = jnp.dot(rows, kernel, preferred_element_type=jnp.float32)
    return logits.reshape(*x.shape[:2], -1)


class TokenHead(nn.Module):
    """Scores of all tokens of the vocabulary, by the token embedding itself.

    The head of BERT (Devlin et al. 2019, arXiv:1810.04805): a linear map, activation
    and layer norm before the product, and a bias after it. Scores are float32.
    """

    activation: str = "gelu"
    norm_epsilon: float = 1e-12
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch token width"],
        embedding: Float[Array, "vocabulary width"],
    ) -> Float[Array, "batch token vocabulary"]:
        act = lookup(ACTIVATIONS, self.activation, "activation")
        x = act(Dense(x.shape[-1], dtype=self.dtype, name="transform")(x))
        x = LayerNorm(self.norm_epsilon, self.dtype, name="norm")(x)
        bias = self.param("bias", nn.initializers.zeros, embedding.shape[:1])
        return token_scores(x, embedding, self.dtype) + bias


class ClassHead(nn.Module):
    """Scores of classes by two linear maps, with layer norm and gelu between them.

    As ViLT answers questions (Kim et al. 2021, arXiv:2102.03334). Scores are float32.
    """

    classes: int
    norm_epsilon: float = 1e-5
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "batch width"]) -> Float[Array, "batch classes"]:
        x = Dense(2 * x.shape[-1], dtype=self.dtype, name="in")(x)
        x = LayerNorm(self.norm_epsilon, self.dtype, name="norm")(x)
        x = ACTIVATIONS["gelu"](x)
        return Dense(self.classes, dtype=self.dtype, name="out")(x).astype(jnp.float32)


def judge_pairs(
    judge: Callable, own: tuple[Array, ...], negative: tuple[Array, ...]
) -> Float[Array, "batch 3 2"]:
    """Scores of (no match, match) for three pairs a row.

    The pair itself, its picture with the negative text, its text with the negative
    picture. own, negative: image tokens, then the arrays of the text, one row each;
    judge: these -> scores [rows, 2].
    """

    def rows(*three):  # of a pair stay neighbours, and so on the same device
        return rearrange(jnp.stack(three, 1), "batch pair ... -> (batch pair) ...")

    images = rows(own[0], own[0], negative[0])
    texts = (rows(x, y, x) for x, y in zip(own[1:], negative[1:], strict=True))
    scores = judge(images, *texts)
    return rearrange(scores, "(batch pair) score -> batch pair score", pair=3)

"""The parts of a transformer, shared by the image and the text towers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),  # OpenAI's CLIP
}


DTYPES = {name: getattr(jnp, name) for name in ("float32", "bfloat16", "float16")}


class Dense(nn.Module):
    """A linear map of the last axis.

    Tokens are flattened to rows first: on CPU the same product over two leading axes
    is slower (benchmarks/RESULTS.md), elsewhere it makes no difference.
    """

    features: int
    use_bias: bool = True
    init_std: float = 0.02
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "... inputs"]) -> Float[Array, "... features"]:
        init = nn.initializers.normal(self.init_std)
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        dtype = lookup(DTYPES, self.dtype, "dtype")
        rows = x.reshape(-1, x.shape[-1]).astype(dtype)
        out = rows @ kernel.astype(dtype)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            out = out + bias.astype(dtype)
        return out.reshape(*x.shape[:-1], self.features)


class LayerNorm(nn.Module):
    """Layer normalisation with its statistics in float32."""

    epsilon: float = 1e-5
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "... width"]) -> Float[Array, "... width"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        x = x.astype(jnp.float32)
        mean = x.mean(-1, keepdims=True)
        centred = x - mean
        variance = jnp.square(centred).mean(-1, keepdims=True)
        out = centred * jax.lax.rsqrt(variance + self.epsilon)
        return (out * scale + bias).astype(self.dtype)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762)."""

    heads: int
    causal: bool = False
    init_std: float = 0.02
    out_std: float = 0.02
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch token width"],
        mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch token width"]:
        width = x.shape[-1]
        if self.heads < 1 or width % self.heads:
            raise ConfigError(
                f"a width of {width} cannot be split over {self.heads} heads; set "
                "width to a multiple of heads"
            )

        def project(name):
            out = Dense(width, init_std=self.init_std, dtype=self.dtype, name=name)(x)
            return rearrange(
                out, "batch token (head d) -> batch token head d", head=self.heads
            )

        if mask is not None:
            mask = rearrange(mask, "batch key -> batch 1 1 key")
        out = jax.nn.dot_product_attention(
            project("query"),
            project("key"),
            project("value"),
            mask=mask,
            is_causal=self.causal,
        )
        out = rearrange(out, "batch token head d -> batch token (head d)")
        return Dense(width, init_std=self.out_std, dtype=self.dtype, name="out")(out)


class MLP(nn.Module):
    """Two linear maps with an activation between them."""

    hidden: int
    activation: str = "quick_gelu"
    init_std: float = 0.02
    out_std: float = 0.02
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "... width"]) -> Float[Array, "... width"]:
        act = lookup(ACTIVATIONS, self.activation, "activation")
        h = act(
            Dense(self.hidden, init_std=self.init_std, dtype=self.dtype, name="in")(x)
        )
        return Dense(x.shape[-1], init_std=self.out_std, dtype=self.dtype, name="out")(
            h
        )

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

# No float16: without a scaled loss its gradients vanish below 6e-8.
DTYPES = {name: getattr(jnp, name) for name in ("float32", "bfloat16")}

ATTENTIONS = dict.fromkeys(("xla", "cudnn"))  # as jax.nn names them


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


def check_cudnn(
    query: Float[Array, "batch token head width"],
    key: Float[Array, "batch other head width"],
    masked: bool,
) -> None:
    """ConfigError where cuDNN's fused attention cannot compute or differentiate this.

    Its limits are those of jax 0.10 with cuDNN 9; JAX itself names them only when the
    step is compiled, and by a traceback.
    """
    width, lengths = query.shape[-1], (query.shape[1], key.shape[1])
    limits = {
        f"a GPU, and this runs on {jax.default_backend()}": (
            jax.default_backend() == "gpu"
        ),
        f"dtype='bfloat16', and dtype is '{query.dtype}'": query.dtype == jnp.bfloat16,
        f"heads of a width that 8 divides, at most 256, and theirs is {width}": (
            width % 8 == 0 and width <= 256
        ),
        f"even lengths where padding is masked, and these are {lengths}": (
            not masked or all(length % 2 == 0 for length in lengths)
        ),
    }
    for limit, holds in limits.items():
        if not holds:
            raise ConfigError(f"attention='cudnn' needs {limit}; set attention='xla'")


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762).

    Of the tokens over themselves, or over those of a context.
    """

    heads: int
    causal: bool = False
    implementation: str = "xla"
    init_std: float = 0.02
    out_std: float = 0.02
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch token width"],
        mask: Bool[Array, "batch other"] | None = None,
        context: Float[Array, "batch other width"] | None = None,
    ) -> Float[Array, "batch token width"]:
        width = x.shape[-1]
        if self.heads < 1 or width % self.heads:
            raise ConfigError(
                f"a width of {width} cannot be split over {self.heads} heads; set "
                "width to a multiple of heads"
            )

        def project(name, x):
            out = Dense(width, init_std=self.init_std, dtype=self.dtype, name=name)(x)
            return rearrange(
                out, "batch token (head d) -> batch token head d", head=self.heads
            )

        context = x if context is None else context
        query, key = project("query", x), project("key", context)
        value = project("value", context)
        if mask is not None:
            mask = rearrange(mask, "batch key -> batch 1 1 key")
        lookup(ATTENTIONS, self.implementation, "attention")
        if self.implementation == "cudnn":
            check_cudnn(query, key, mask is not None)
            if mask is not None:  # it wants a row for every query
                mask = jnp.broadcast_to(mask, (len(x), 1, x.shape[1], key.shape[1]))
        out = jax.nn.dot_product_attention(
            query,
            key,
            value,
            mask=mask,
            is_causal=self.causal,
            implementation=self.implementation,
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

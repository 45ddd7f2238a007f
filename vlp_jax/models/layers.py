"""The parts of a transformer, shared by the image and the text towers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from einops import einsum, rearrange
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

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

# A collection of what attention_map.py adds to the weights of a cross-attention, to
# differentiate by them; the weights themselves come back in it.
SHOWN = "shown"


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


def check_cudnn(query: Float[Array, "batch token head width"]) -> None:
    """ConfigError where cuDNN's fused attention cannot compute what is asked.

    Its limits are those of jax 0.10 with cuDNN 9; JAX itself names them late and by a
    traceback.
    """
    width, backend = query.shape[-1], jax.default_backend()
    limits = {
        f"a GPU, and this runs on {backend}": backend == "gpu",
        f"dtype='bfloat16', and dtype is '{query.dtype}'": query.dtype == jnp.bfloat16,
        f"heads of a width that 8 divides, at most 256, and theirs is {width}": (
            width % 8 == 0 and width <= 256
        ),
    }
    for limit, holds in limits.items():
        if not holds:
            raise ConfigError(f"attention='cudnn' needs {limit}; set attention='xla'")


def even_attention(
    query: Float[Array, "batch token head width"],
    key: Float[Array, "batch other head width"],
    value: Float[Array, "batch other head width"],
    mask: Bool[Array, "batch other"] | None,
    causal: bool,
    implementation: str,
) -> Float[Array, "batch token head width"]:
    """Attention over even lengths: odd ones get one more token, which nobody sees.

    jax 0.10 refuses to differentiate cuDNN's attention at odd lengths (197 tokens of a
    ViT-B/16, say), although cuDNN itself minds them only where there is a bias.
    """
    (batch, tokens), others = query.shape[:2], key.shape[1]
    query, key, value = (
        jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, 0), (0, 0)))
        for x in (query, key, value)
    )
    lengths = None
    if mask is not None:
        mask = jnp.pad(mask, ((0, 0), (0, others % 2)))
        # cuDNN wants a row for every query.
        mask = jnp.broadcast_to(
            mask[:, None, None], (batch, 1, query.shape[1], key.shape[1])
        )
    elif others % 2 and not causal:  # the last token is out of sight if causal
        lengths = jnp.full(batch, others, jnp.int32)
    return jax.nn.dot_product_attention(
        query,
        key,
        value,
        mask=mask,
        is_causal=causal,
        key_value_seq_lengths=lengths,
        implementation=implementation,
    )[:, :tokens]


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762).

    Of the tokens over themselves, or over those of a context. out_features: of the
    last product; None: as wide as the tokens. cache_length: how many tokens a text may
    have that is written one by one; needed where `position` is given.
    """

    heads: int
    causal: bool = False
    implementation: str = "xla"
    init_std: float = 0.02
    out_std: float = 0.02
    dtype: str = "float32"
    out_features: int | None = None
    cache_length: int = 0

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch token width"],
        mask: Bool[Array, "batch *query other"] | None = None,
        context: Float[Array, "batch other depth"] | None = None,
        position: Int[Array, ""] | None = None,
    ) -> Float[Array, "batch token out"]:
        """mask: which keys all tokens see, or each of them ([batch, token, other]).

        position: of the first of the tokens, in a text that is written step by step.
        Keys and values of all tokens so far are kept in the collection `cache`, and
        every token sees those up to itself, or those that a mask of its own names
        ([batch, token, cache_length]); `causal` then has no say.
        """
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

        known = x if context is None else context
        query, key = project("query", x), project("key", known)
        value = project("value", known)
        causal = self.causal and context is None
        if position is not None and context is None:
            key, value = self._remember(key, value, position)
            if mask is None or mask.ndim == 2:
                last = position + jnp.arange(x.shape[1])
                mask = jnp.arange(self.cache_length) <= last[:, None]
                mask = jnp.broadcast_to(mask, (x.shape[0], *mask.shape))
            causal = False
        lookup(ATTENTIONS, self.implementation, "attention")
        if context is not None and self.has_variable(SHOWN, "weights"):
            out = self._shown(query, key, value, mask)
        elif self.implementation == "cudnn" and (mask is None or mask.ndim == 2):
            check_cudnn(query)
            out = even_attention(query, key, value, mask, causal, "cudnn")
        else:
            if mask is not None:  # for all heads, and for all queries if it has none
                mask = mask[:, None, None] if mask.ndim == 2 else mask[:, None]
            out = jax.nn.dot_product_attention(
                query, key, value, mask=mask, is_causal=causal
            )
        out = rearrange(out, "batch token head d -> batch token (head d)")
        features = width if self.out_features is None else self.out_features
        return Dense(features, init_std=self.out_std, dtype=self.dtype, name="out")(out)

    def _shown(self, query, key, value, mask):
        """The same attention, whose weights can be seen and changed."""
        every = "batch token head d, batch other head d -> batch head token other"
        scores = einsum(query, key, every).astype(jnp.float32) / query.shape[-1] ** 0.5
        if mask is not None:
            mask = mask[:, None, None] if mask.ndim == 2 else mask[:, None]
            scores = jnp.where(mask, scores, -jnp.inf)
        weights = jax.nn.softmax(scores)
        changed = weights + self.get_variable(SHOWN, "weights")
        self.put_variable(SHOWN, "weights", weights)
        mixed = "batch head token other, batch other head d -> batch token head d"
        return einsum(changed.astype(value.dtype), value, mixed)

    def _remember(self, key, value, position):
        """Keys and values of the whole text so far, these ones among them."""
        found = []
        for name, new in (("keys", key), ("values", value)):
            shape = (new.shape[0], self.cache_length, *new.shape[2:])
            kept = self.variable("cache", name, jnp.zeros, shape, new.dtype)
            kept.value = jax.lax.dynamic_update_slice_in_dim(
                kept.value, new, position, axis=1
            )
            found.append(kept.value)
        return found


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

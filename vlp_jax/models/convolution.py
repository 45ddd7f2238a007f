"""The parts of a convolutional network, shared by the towers that are one."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.models.layers import DTYPES
from vlp_jax.models.transformer import REMAT_POLICIES

STATISTICS = "batch_stats"  # the collection in which running statistics are kept

# He et al. 2015, arXiv:1502.01852, for the backward pass.
HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) in float32.

    In training it normalises by the mean and variance of the whole batch, over all
    devices, and moves the running ones towards them by `momentum`; in evaluation it
    normalises by the running ones. As in PyTorch the batch is normalised by its biased
    variance and the running one is unbiased.

    A step trains where it may change the running statistics, that is where their
    collection is mutable. frozen: it may not change them, and uses them in training
    too.
    """

    frozen: bool = False
    epsilon: float = 1e-5
    momentum: float = 0.1
    scale_init: Callable = nn.initializers.ones
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "... channel"]) -> Float[Array, "... channel"]:
        channels, axes = x.shape[-1:], tuple(range(x.ndim - 1))
        scale = self.param("scale", self.scale_init, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        running = (
            self.variable(STATISTICS, "mean", jnp.zeros, channels),
            self.variable(STATISTICS, "variance", jnp.ones, channels),
        )
        mean, variance = (statistic.value for statistic in running)
        x = x.astype(jnp.float32)
        trains = self.is_mutable_collection(STATISTICS) and not self.is_initializing()
        if trains and not self.frozen:
            mean = x.mean(axes)
            variance = jnp.square(x - mean).mean(axes)
            values = x.size // x.shape[-1]
            unbiased = variance * (values / max(values - 1, 1))
            for statistic, of_batch in zip(running, (mean, unbiased), strict=True):
                change = jax.lax.stop_gradient(of_batch) - statistic.value
                statistic.value += self.momentum * change
        out = (x - mean) * (jax.lax.rsqrt(variance + self.epsilon) * scale) + bias
        return out.astype(self.dtype)


class ConvNorm(nn.Module):
    """A convolution without bias, `kernel_size` // 2 zeros around it, then a BatchNorm.

    norm_init: of the gain of the normalisation.
    """

    features: int
    kernel_size: int = 1
    stride: int = 1
    norm_init: Callable = nn.initializers.ones
    kernel_init: Callable = HE_NORMAL
    frozen_statistics: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height column channel"]
    ) -> Float[Array, "batch row position features"]:
        size, border = self.kernel_size, self.kernel_size // 2
        shape = (size, size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        dtype = lookup(DTYPES, self.dtype, "dtype")
        x = jax.lax.conv_general_dilated(
            x.astype(dtype),
            kernel.astype(dtype),
            (self.stride, self.stride),
            [(border, border)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return BatchNorm(
            self.frozen_statistics,
            scale_init=self.norm_init,
            dtype=self.dtype,
            name="norm",
        )(x)


class Stage(nn.Module):
    """`depth` blocks on a grid of one size; the first takes every `stride`-th place.

    layer: makes the convolutions of the blocks (ConvNorm with its settings).
    """

    block: type[nn.Module]
    layer: Callable
    features: int
    depth: int
    stride: int = 1
    remat: str = "none"

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height column channel"]
    ) -> Float[Array, "batch row position features"]:
        policy = lookup(REMAT_POLICIES, self.remat, "remat policy")
        block = self.block
        if self.remat != "none":
            block = nn.remat(block, policy=policy)
        for i in range(self.depth):
            stride = self.stride if i == 0 else 1
            x = block(self.layer, self.features, stride, name=f"block_{i}")(x)
        return x


class ConvTower(nn.Module, kw_only=True):
    """A residual network and its settings; stem and pooling are the tower's own.

    depths: blocks of each stage; every stage but the first halves the grid and doubles
    the channels, which are `stem_width` after the stem. frozen_statistics: batch
    normalisation as in evaluation, for fine-tuning. remat: a key of REMAT_POLICIES
    ('dots' keeps as little of a convolution as 'full'). dtype: of the computation,
    parameters and statistics are float32.
    """

    depths: tuple[int, ...]
    stem_width: int = 64
    frozen_statistics: bool = False
    remat: str = "none"
    dtype: str = "float32"

    def __post_init__(self):
        if not self.depths or min(self.depths) < 1:
            raise ConfigError(
                f"model.image.depths is {self.depths}; expected how many blocks each "
                "stage has, such as (3, 4, 6, 3)"
            )
        super().__post_init__()

    def layer(self, kernel_init: Callable = HE_NORMAL) -> Callable:
        """ConvNorm with the settings of this tower."""
        return functools.partial(
            ConvNorm,
            kernel_init=kernel_init,
            frozen_statistics=self.frozen_statistics,
            dtype=self.dtype,
        )

    def stages(
        self,
        x: Float[Array, "batch height column channel"],
        block: type[nn.Module],
        layer: Callable[..., nn.Module],
    ) -> Float[Array, "batch row position features"]:
        """The grid after the last stage."""
        for i, depth in enumerate(self.depths):
            x = Stage(
                block,
                layer,
                features=self.stem_width * 2**i,
                depth=depth,
                stride=min(2, 1 + i),
                remat=self.remat,
                name=f"stage_{i + 1}",
            )(x)
        return x

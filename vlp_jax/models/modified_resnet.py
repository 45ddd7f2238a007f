"""CLIP's residual network (Radford et al. 2021, arXiv:2103.00020, section 2.4)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from einops import rearrange, reduce
from flax import linen as nn
from jaxtyping import Array, Float

from vlp_jax.core.errors import ConfigError
from vlp_jax.models.convolution import ConvTower
from vlp_jax.models.layers import Attention
from vlp_jax.models.towers import check_pictures
from vlp_jax.parallel.sharding import constrain

HEAD_WIDTH = 64  # of the attention that pools
# As PyTorch initialises convolutions: CLIP's code leaves them as they are.
KERNEL_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def average_pool(
    x: Float[Array, "batch height column channel"], size: int
) -> Float[Array, "batch row position channel"]:
    """The mean of every square of size x size places."""
    return reduce(
        x,
        "batch (row down) (position right) channel -> batch row position channel",
        "mean",
        down=size,
        right=size,
    )


class SmoothBottleneck(nn.Module):
    """A bottleneck whose convolutions all have stride 1.

    Where the grid is halved, an average pool does it, before the last convolution and
    before the one beside them: strides alone would alias (Zhang 2019,
    arXiv:1904.11486).
    """

    layer: Callable
    features: int
    stride: int = 1
    expansion = 4

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height column channel"]
    ) -> Float[Array, "batch row position features"]:
        out = self.expansion * self.features
        h = jax.nn.relu(self.layer(self.features, name="conv_1")(x))
        h = jax.nn.relu(self.layer(self.features, 3, name="conv_2")(h))
        h = self.layer(out, norm_init=nn.initializers.zeros, name="conv_3")(
            average_pool(h, self.stride)
        )
        if x.shape != h.shape:
            x = self.layer(out, name="shortcut")(average_pool(x, self.stride))
        return constrain(jax.nn.relu(h + x))


class ModifiedResNet(ConvTower, kw_only=True):
    """Image tower: three convolutions, stages of blocks, attention pooling.

    The mean over the last grid is the query of one attention over the grid and itself,
    with learned positions. What that attention gives is the embedding: its last
    product, to `width` features, is CLIP's image projection. So there is no other one
    (model.project_image = False), and width is the embedding size.
    """

    width: int
    image_size: int

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height column 3"], pooled: bool = True
    ) -> Float[Array, "batch *place width"]:
        """What the attention finds, or else the grid that it looks at, row by row."""
        check_pictures(images, self.image_size)
        x = self.stages(self.stem(images), SmoothBottleneck, self.layer(KERNEL_INIT))
        grid = rearrange(
            x, "batch row position channel -> batch (row position) channel"
        )
        if not pooled:
            return grid
        tokens = jnp.concatenate([grid.mean(axis=1, keepdims=True), grid], axis=1)
        channels = tokens.shape[-1]
        std = channels**-0.5
        position = self.param(
            "position_embedding", nn.initializers.normal(std), tokens.shape[1:]
        )
        tokens = tokens + position.astype(tokens.dtype)
        return Attention(
            channels // HEAD_WIDTH,
            init_std=std,
            out_std=std,
            dtype=self.dtype,
            out_features=self.width,
            name="attention",
        )(tokens[:, :1], context=tokens)[:, 0]

    def stem(
        self, images: Float[Array, "batch height column 3"]
    ) -> Float[Array, "batch row position channel"]:
        """Three 3x3 convolutions and an average pool: a grid of 4x4 pixels a place."""
        shrinks, last = 2 ** (len(self.depths) + 1), len(self.depths) - 1
        channels = 4 * self.stem_width * 2**last
        if self.image_size % shrinks:
            raise ConfigError(
                f"preprocessing.image_size is {self.image_size}, which cannot be "
                f"halved {len(self.depths) + 1} times; take a multiple of {shrinks}"
            )
        if channels % HEAD_WIDTH:
            raise ConfigError(
                f"model.image.stem_width is {self.stem_width}, which makes {channels} "
                f"channels; heads of {HEAD_WIDTH} must share them"
            )
        layer = self.layer(KERNEL_INIT)
        half = self.stem_width // 2
        x = jax.nn.relu(layer(half, 3, 2, name="stem_1")(images))
        x = jax.nn.relu(layer(half, 3, name="stem_2")(x))
        x = jax.nn.relu(layer(self.stem_width, 3, name="stem_3")(x))
        return average_pool(x, 2)

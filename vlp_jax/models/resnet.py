"""Residual networks of two kinds of block (He et al. 2016, arXiv:1512.03385)."""

from collections.abc import Callable

import jax
from einops import rearrange, reduce
from flax import linen as nn
from jaxtyping import Array, Float

from vlp_jax.core.lookup import lookup
from vlp_jax.models.convolution import ConvTower
from vlp_jax.parallel.sharding import constrain


class Basic(nn.Module):
    """Two 3x3 convolutions, and the input added."""

    layer: Callable
    features: int
    stride: int = 1
    expansion = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height column channel"]
    ) -> Float[Array, "batch row position features"]:
        h = self.layer(self.features, 3, self.stride, name="conv_1")(x)
        h = self.layer(self.features, 3, name="conv_2")(jax.nn.relu(h))
        if x.shape != h.shape:
            x = self.layer(self.features, 1, self.stride, name="shortcut")(x)
        return constrain(jax.nn.relu(h + x))


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1, and the input added.

    The 3x3 one takes the stride ("v1.5"; in the paper it is the first).
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
        h = self.layer(self.features, 3, self.stride, name="conv_2")(h)
        h = self.layer(out, name="conv_3")(jax.nn.relu(h))
        if x.shape != h.shape:
            x = self.layer(out, 1, self.stride, name="shortcut")(x)
        return constrain(jax.nn.relu(h + x))


BLOCKS = {"basic": Basic, "bottleneck": Bottleneck}


class ResNet(ConvTower, kw_only=True):
    """Image tower: 7x7 convolution, max pooling, stages of blocks, mean over the grid.

    For pictures of any size; `features` gives the grid itself.
    """

    block: str = "bottleneck"

    @property
    def width(self) -> int:
        """Channels of the last stage."""
        expansion = lookup(BLOCKS, self.block, "model.image.block").expansion
        return self.stem_width * 2 ** (len(self.depths) - 1) * expansion

    @nn.compact
    def features(
        self, images: Float[Array, "batch height column 3"]
    ) -> Float[Array, "batch row position width"]:
        """The grid after the last stage: 7x7 for pictures of 224x224 pixels."""
        layer = self.layer()
        x = jax.nn.relu(layer(self.stem_width, 7, 2, name="stem")(images))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        return self.stages(x, lookup(BLOCKS, self.block, "model.image.block"), layer)

    def __call__(
        self, images: Float[Array, "batch height column 3"], pooled: bool = True
    ) -> Float[Array, "batch *place width"]:
        """The mean over the grid, or else its places, row by row."""
        grid = self.features(images)
        if not pooled:
            return rearrange(
                grid, "batch row position width -> batch (row position) width"
            )
        return reduce(grid, "batch row position width -> batch width", "mean")

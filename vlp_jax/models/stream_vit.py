"""The vision transformer as ViLT has it: it reads words before the patches."""

import jax
import jax.numpy as jnp
from einops import einsum, rearrange, repeat
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.models.layers import Dense, LayerNorm
from vlp_jax.models.towers import ImageTower
from vlp_jax.models.transformer import Transformer


def bilinear_weights(
    lengths: Int[Array, " batch"], cells: int, grid: int
) -> Float[Array, "batch cell place"]:
    """Weights that stretch `grid` places over the first `lengths` of some cells.

    The first place falls on the first cell and the last one on the last.
    """
    step = (grid - 1) / jnp.maximum(lengths - 1, 1)
    at = jnp.arange(cells) * step[:, None]
    return jnp.maximum(0, 1 - jnp.abs(at[..., None] - jnp.arange(grid)))


class StreamViT(ImageTower, kw_only=True):
    """The vision transformer that reads a whole stream, words before the patches.

    Dosovitskiy et al. 2021 (arXiv:2010.11929), with its parameter paths: a ViT without
    CLIP's changes can be what a stream starts from. By itself it is that image tower,
    whose class token stands for the picture. position_std: of the initial positions, as
    in ViT.
    """

    activation: str = "gelu"
    norm_epsilon: float = 1e-12
    position_std: float = 0.02

    def setup(self):
        if self.patch_size < 1 or self.image_size % self.patch_size:
            raise ConfigError(
                f"image_size {self.image_size} is not a multiple of "
                f"model.image.patch_size {self.patch_size}"
            )
        check_range("model.image.position_std", self.position_std, 0)
        normal = nn.initializers.normal(0.02)
        self.patch_embedding = Dense(self.width, dtype=self.dtype)
        self.class_token = self.param("class_token", normal, (self.width,))
        places = (self.image_size // self.patch_size) ** 2
        self.position_embedding = self.param(
            "position_embedding",
            nn.initializers.normal(self.position_std),
            (1 + places, self.width),
        )
        self.encoder = Transformer(
            depth=self.depth,
            heads=self.heads,
            hidden=self.hidden,
            activation=self.activation,
            norm_epsilon=self.norm_epsilon,
            attention=self.attention,
            remat=self.remat,
            scan=self.scan,
            dtype=self.dtype,
            dropout=self.dropout,
        )
        self.norm_post = LayerNorm(self.norm_epsilon, self.dtype)

    def embed(
        self,
        pixels: Float[Array, "batch height column 3"],
        pixel_mask: Bool[Array, "batch height column"] | None = None,
    ) -> Float[Array, "batch patch width"]:
        """The class token, then a token for each patch, row by row, with positions.

        pixel_mask: which pixels are picture; they fill a rectangle from the upper left.
        Positions are stretched bilinearly over every picture that is not the square of
        the training.
        """
        patch = self.patch_size
        height, width = pixels.shape[1:3]
        if height % patch or width % patch:
            raise ConfigError(
                f"a picture of {height}x{width} pixels has no whole number of patches "
                f"of {patch} pixels; fill it up, and say so in pixel_mask"
            )
        if pixel_mask is not None and self.patch_dropout:
            raise ConfigError(
                "model.image.patch_dropout leaves out patches of square pictures only; "
                "it is not for a batch with pixel_mask"
            )
        patches = rearrange(
            pixels, "b (row p) (column q) c -> b (row column) (p q c)", p=patch, q=patch
        )
        tokens = self.patch_embedding(patches)
        first, places = jnp.split(self.position_embedding, [1])
        if pixel_mask is not None or pixels.shape[1:3] != (self.image_size,) * 2:
            cells = height // patch, width // patch
            places = self._stretched(places, cells, pixel_mask)
        tokens = self.drop_patches(tokens + places.astype(tokens.dtype))
        first = repeat(
            self.class_token + first, "one width -> batch one width", batch=len(tokens)
        )
        return jnp.concatenate([first.astype(tokens.dtype), tokens], axis=1)

    def _stretched(self, places, cells, pixel_mask):
        """Positions [batch or 1, patch, width] over pictures of other sizes."""
        if pixel_mask is None:
            lengths = [jnp.array([length]) for length in cells]
        else:
            inside = pixel_mask[:, :: self.patch_size, :: self.patch_size]
            lengths = [inside[:, :, 0].sum(axis=1), inside[:, 0].sum(axis=1)]
        side = self.image_size // self.patch_size
        rows, columns = (
            bilinear_weights(length, n, side)
            for length, n in zip(lengths, cells, strict=True)
        )
        with jax.default_matmul_precision("highest"):
            found = einsum(
                rows,
                columns,
                rearrange(places, "(i j) width -> i j width", i=side),
                "batch row i, batch column j, i j width -> batch row column width",
            )
        return rearrange(found, "batch row column width -> batch (row column) width")

    def read(
        self,
        tokens: Float[Array, "batch token width"],
        mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch token width"]:
        """The normalised states of a stream."""
        return self.norm_post(self.encoder(tokens, mask))

    def __call__(
        self, images: Float[Array, "batch height column 3"], pooled: bool = True
    ) -> Float[Array, "batch *token width"]:
        """The class token of a picture, or else all its tokens."""
        tokens = self.read(self.embed(images))
        return tokens[:, 0] if pooled else tokens

"""What models have in common that align pictures and texts before they fuse them."""

from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, UInt8

from vlp_jax.models.towers import normalised
from vlp_jax.models.vlm import l2_normalise


class Aligned(nn.Module):
    """Tokens of each side by itself, and embeddings of their class tokens.

    The models have the towers `image` and `text`, and an `image_projection` and a
    `text_projection`.
    """

    def image_tokens(
        self, image: UInt8[Array, "batch height column 3"]
    ) -> Float[Array, "batch patch depth"]:
        """The tokens of pictures, the class token first."""
        pixels = normalised(image, self.image_mean, self.image_std)
        return self.image(pixels, pooled=False)

    def text_states(
        self,
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch token width"]:
        """The tokens of texts that have not seen a picture."""
        return self.text(text_tokens, text_mask, pooled=False)

    def image_embedding(
        self, image_tokens: Float[Array, "batch patch depth"]
    ) -> Float[Array, "batch embedding"]:
        """L2-normalised float32 embeddings of pictures."""
        return l2_normalise(self.image_projection(image_tokens[:, 0]))

    def text_embedding(
        self, text_states: Float[Array, "batch token width"]
    ) -> Float[Array, "batch embedding"]:
        """L2-normalised float32 embeddings of texts."""
        return l2_normalise(self.text_projection(text_states[:, 0]))

"""Image to text by transfer: an image tower, and a decoder that looks at its tokens."""

from typing import ClassVar

from flax import linen as nn
from jaxtyping import Array, Float, Int, UInt8

from vlp_jax.core.errors import ConfigError
from vlp_jax.models.decoder import PrefixDecoder
from vlp_jax.models.layers import Dense
from vlp_jax.models.towers import normalised


class Captioner(nn.Module):
    """An image tower and a decoder that writes about its tokens.

    Hugging Face's VisionEncoderDecoderModel: where the tower and the decoder are not
    of one width, a linear map is between them. The tower may come from a CLIP or a
    classifier (config.initialise) and be locked (config.trainable).
    """

    image: nn.Module
    decoder: nn.Module
    image_mean: tuple[float, float, float]  # of pixels in 0..1
    image_std: tuple[float, float, float]
    reads_prefix: ClassVar[bool] = False  # beside the picture, of the text

    def setup(self):
        if isinstance(self.decoder, PrefixDecoder) != self.reads_prefix:
            raise ConfigError(
                "a decoder of kind 'prefix' belongs to a model of kind 'simvlm', which "
                "has no other; set model.kind and model.decoder.kind so"
            )
        self.context_projection = Dense(self.decoder.width, dtype=self.decoder.dtype)

    def image_tokens(
        self, image: UInt8[Array, "batch height column 3"]
    ) -> Float[Array, "batch patch depth"]:
        """The tokens of pictures, the class token first where there is one."""
        pixels = normalised(image, self.image_mean, self.image_std)
        return self.image(pixels, pooled=False)

    def image_context(
        self, image_tokens: Float[Array, "batch patch depth"]
    ) -> Float[Array, "batch patch width"]:
        """What the decoder looks at."""
        if image_tokens.shape[-1] == self.decoder.width:
            return image_tokens
        return self.context_projection(image_tokens)

    def caption_logits(
        self,
        text_tokens: Int[Array, "batch token"],
        image_context: Float[Array, "batch patch width"],
    ) -> Float[Array, "batch token vocabulary"]:
        """Scores of the token that follows each one."""
        return self.decoder(text_tokens, image_context)

    def start(
        self, image_context: Float[Array, "batch patch width"]
    ) -> Float[Array, "batch patch width"]:
        """What is looked at while a text is written."""
        return image_context

    def next_logits(
        self,
        memory: Float[Array, "batch patch width"],
        tokens: Int[Array, "batch token"],
        position: Int[Array, ""],
    ) -> Float[Array, "batch vocabulary"]:
        """Scores of the token after these, the first of which is at `position`."""
        return self.decoder(tokens, memory, None, position)[:, -1]

    def __call__(self, images, tokens, mask=None):
        """Runs everything once; this is what initialises the parameters."""
        context = self.image_context(self.image_tokens(images))
        return self.caption_logits(tokens, context)

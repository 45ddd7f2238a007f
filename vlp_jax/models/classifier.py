"""A tower and a linear head: classes of pictures, or of texts."""

from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, UInt8

from vlp_jax.core.errors import ConfigError
from vlp_jax.models.layers import Dense
from vlp_jax.models.towers import normalised


class _Classifier(nn.Module):
    """What both share: the head, which starts at zero.

    The first loss is then log(classes) whatever the tower gives, and the first steps
    move the head rather than the tower (as in the fine-tuning of ViT: Dosovitskiy et
    al. 2021, arXiv:2010.11929, appendix B.1.1).
    """

    classes: int

    def _check_classes(self) -> None:
        if self.classes < 2:
            raise ConfigError(
                f"a {type(self).__name__} tells classes apart, and this run has "
                f"{self.classes}; set --config.labels.train.kind or "
                "--config.texts.train.kind to a source with classes"
            )

    def _head(self) -> Dense:
        return Dense(self.classes, init_std=0.0)


class ImageClassifier(_Classifier):
    """Scores of the classes of a picture, from what its tower pools."""

    image: nn.Module
    image_mean: tuple[float, float, float]  # of pixels in 0..1
    image_std: tuple[float, float, float]

    def setup(self):
        self._check_classes()
        self.class_head = self._head()

    def class_logits(
        self, image: UInt8[Array, "batch height column 3"]
    ) -> Float[Array, "batch classes"]:
        """Float32 scores of RGB pictures."""
        pixels = normalised(image, self.image_mean, self.image_std)
        return self.class_head(self.image(pixels))

    def __call__(self, images, tokens=None, mask=None):
        """Runs everything once; this is what initialises the parameters."""
        return self.class_logits(images)


class TextClassifier(_Classifier):
    """Scores of the classes of a text, from what its tower pools."""

    text: nn.Module

    def setup(self):
        self._check_classes()
        self.class_head = self._head()

    def class_logits(
        self,
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch classes"]:
        """Float32 scores of tokenised texts."""
        return self.class_head(self.text(text_tokens, text_mask))

    def __call__(self, images, tokens, mask=None):
        """Runs everything once; this is what initialises the parameters."""
        return self.class_logits(tokens, mask)

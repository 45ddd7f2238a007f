"""Models outside of any format with random weights, large enough to matter."""

from tests.models.resnet_pair import drawn
from vlp_jax import defaults, proof, recipe
from vlp_jax.core import trees
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.portable import Portable

LENGTH = 16
VIT = dict(kind="vit", width=24, depth=2, heads=3, patch_size=8, pool="class")
TEXT = dict(
    kind="transformer", width=16, depth=2, heads=2, causal=True, pool="first_eos"
)
# CLIP's residual network; its width is the embedding size.
RESNET = dict(kind="modified_resnet", depths=(2, 1, 1, 1), stem_width=4, width=12)


def random_model(
    image: dict,
    text: dict = TEXT,
    image_size: int = 32,
    canonicalise: str = "none",
    resize: str = "shortest",
    **model,
) -> Portable:
    """Of these towers; model: other settings of config.model."""
    words = Tokenizer.train(proof.CAPTIONS[:3], 280, LENGTH, canonicalise)
    settings = recipe.pretraining()
    settings.model.image.update(image)
    settings.model.text.update(text)
    settings.model.update({"embedding_size": 12, **model})
    settings.preprocessing.update(image_size=image_size, resize=resize)
    settings.tokenizer.length = LENGTH
    settings.name = "random"
    config = defaults.resolved(settings)
    shapes = Portable("random", config, words, {}).shapes()
    weights = drawn(trees.flatten(trees.union(shapes)))
    found = Portable("random", config, words, weights)
    found.check()
    return found


def residual(**model) -> Portable:
    """A CLIP with a residual network, its running statistics random too."""
    return random_model(RESNET, image_size=64, project_image=False, **model)

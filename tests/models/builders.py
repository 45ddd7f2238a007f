"""Models of two towers, their shapes alone, and a batch for them."""

import jax
import numpy as np

from vlp_jax.models.siglip import SiglipText, SiglipViT
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT
from vlp_jax.models.vlm import TwoTower

CONSTANTS = dict(image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5))
SHAPE = dict(width=16, depth=1, heads=2)
SMALL = dict(width=8, depth=1, heads=2)


def two_tower(image, text, embedding, image_size=224, vocabulary=49408, length=77):
    return TwoTower(
        ViT(image_size=image_size, **image),
        TextTransformer(vocab_size=vocabulary, length=length, eos_id=2, **text),
        embedding_size=embedding,
        **CONSTANTS,
    )


def siglip(image, text, image_size, vocabulary=32_000, length=64):
    return TwoTower(
        SiglipViT(image_size=image_size, **image),
        SiglipText(vocab_size=vocabulary, length=length, eos_id=1, **text),
        embedding_size=image["width"],
        logit_bias_init=-10.0,
        project_image=False,
        text_projection_bias=True,
        **CONSTANTS,
    )


def shapes(model):
    size, length = model.image.image_size, model.text.length
    images = jax.ShapeDtypeStruct((2, size, size, 3), np.uint8)
    tokens = jax.ShapeDtypeStruct((2, length), np.int32)
    mask = jax.ShapeDtypeStruct((2, length), bool)
    variables = jax.eval_shape(model.init, jax.random.key(0), images, tokens, mask)
    return variables["params"], jax.eval_shape(
        model.apply, variables, images, tokens, mask
    )


def small(**settings):
    return two_tower(
        SMALL | {"patch_size": 4}, SMALL, 6, image_size=8, vocabulary=20, length=7
    ).clone(**settings)


def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    tokens = rng.integers(3, 20, (4, 8)).astype(np.int32)
    return images, tokens

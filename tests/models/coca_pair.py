"""Our CoCa and open_clip's of the same shape, small enough for a test."""

import jax
import numpy as np

from tests.models.resnet_pair import drawn
from vlp_jax.core import trees
from vlp_jax.models.coca import Coca
from vlp_jax.models.coca_layers import CocaFusion, CocaText
from vlp_jax.models.vit import ViT

SIZE, PATCH, LENGTH, VOCABULARY = 12, 4, 9, 40
TEXT = dict(width=12, depth=2, heads=3)
# A pooler is kept in another way where it is as wide as the image tower.
IMAGES = {
    "narrow": dict(width=12, depth=2, heads=3),
    "wide": dict(width=24, depth=2, heads=3),
}
MODEL = dict(queries=5, pooler_heads=2, embedding_size=12)
PADDING = 0


def settings(image, activation="gelu"):
    """What a port is told of the model."""
    given = dict(activation=activation)
    return {
        **MODEL,
        "image": IMAGES[image] | given,
        "text": TEXT | given,
        "fusion": TEXT | given,
    }


def our_model(image="wide", activation="gelu", **others):
    """others: settings of the text and of the multimodal layers."""
    text = dict(length=LENGTH, activation=activation)
    tower = dict(image_size=SIZE, patch_size=PATCH, activation=activation)
    return Coca(
        image=ViT(**tower, **IMAGES[image]),
        text=CocaText(vocab_size=VOCABULARY, pad_id=PADDING, **text, **TEXT, **others),
        fusion=CocaFusion(**text, **TEXT),
        vocab_size=VOCABULARY,
        image_mean=(0.48, 0.46, 0.41),
        image_std=(0.27, 0.26, 0.28),
        **MODEL,
    )


def weights(model):
    """{path: array}, large enough to matter."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), pictures(), *captions())
    return drawn(trees.flatten(shapes["params"]))


def pictures(rows=5):
    rng = np.random.default_rng(2)
    return rng.integers(0, 256, (rows, SIZE, SIZE, 3)).astype(np.uint8)


def captions():
    """Ids and mask of texts that fill one to all places; the third holds a padding."""
    rng = np.random.default_rng(1)
    ids = rng.integers(1, VOCABULARY, (5, LENGTH)).astype(np.int32)
    mask = np.arange(LENGTH) < np.array([LENGTH, 1, 6, LENGTH - 1, 3])[:, None]
    ids[2, 3] = PADDING  # which is a word, too
    return np.where(mask, ids, PADDING), mask


# The directions of a loss, by output.
DIRECTIONS = {
    name: np.random.default_rng(3).normal(size=(5, *size)).astype(np.float32)
    for name, size in {
        "image_embedding": (12,),
        "text_embedding": (12,),
        "caption_logits": (LENGTH - 1, VOCABULARY),
    }.items()
}
# What open_clip 3.3.0 gives for the wide one: the row of the first picture, of the
# third text, and the scores of six tokens there at the fifth place.
OPEN_CLIP = {
    "image_embedding": [
        *(0.2599727, 0.0122846, -0.5120664, -0.2910631, 0.1531036, -0.1132041),
        *(-0.5139677, 0.254381, -0.2583786, 0.2309911, -0.0646165, -0.3096989),
    ],
    "text_embedding": [
        *(0.2217067, -0.1393193, -0.2945474, 0.3781501, -0.008852, 0.1039551),
        *(0.6045475, 0.3177861, -0.2694415, 0.1118245, -0.1907676, -0.3206779),
    ],
    "caption_logits": [1.0153496, -0.937497, 0.4179667, 0.875864, 2.7763869, 0.0433537],
}


def literal(outputs):
    """That part of given outputs."""
    return {
        "image_embedding": outputs["image_embedding"][0],
        "text_embedding": outputs["text_embedding"][2],
        "caption_logits": outputs["caption_logits"][2, 4, :6],
    }

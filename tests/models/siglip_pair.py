"""HF's SiglipModel and our towers with the same weights, small enough for a test."""

import functools

import numpy as np
from flax.traverse_util import unflatten_dict

from tests.models.clip_pair import with_weights
from vlp_jax.models.siglip import SiglipText, SiglipViT
from vlp_jax.models.vlm import TwoTower
from vlp_jax.porting import hf_siglip
from vlp_jax.porting.weights import to_ours

SIZE, PATCH, LENGTH, VOCABULARY = 12, 4, 10, 40
IMAGE = dict(width=24, depth=2, heads=3)
TEXT = dict(width=16, depth=2, heads=2)
HIDDEN = {"image": 62, "text": 64}  # one no multiple of the width, as So400m's


def hf_model():
    """SiglipModel in float32."""
    from transformers import SiglipConfig, SiglipModel

    def shape(tower, width, depth, heads):
        return dict(
            hidden_size=width,
            intermediate_size=HIDDEN[tower],
            num_hidden_layers=depth,
            num_attention_heads=heads,
        )

    config = SiglipConfig(
        vision_config=shape("image", **IMAGE) | dict(image_size=SIZE, patch_size=PATCH),
        text_config=shape("text", **TEXT)
        | dict(
            vocab_size=VOCABULARY,
            max_position_embeddings=LENGTH,
            projection_size=IMAGE["width"],
        ),
        attn_implementation="eager",
    )
    model = SiglipModel(config).float().eval()
    # HF starts both at 0.
    return with_weights(model, logit_scale=1.5, logit_bias=-2.0)


def our_model(**settings):
    """TwoTower of the same shape."""

    def ratio(tower, width):
        return HIDDEN[tower] / width

    return TwoTower(
        image=SiglipViT(
            image_size=SIZE,
            patch_size=PATCH,
            mlp_ratio=ratio("image", IMAGE["width"]),
            **IMAGE,
            **settings,
        ),
        text=SiglipText(
            vocab_size=VOCABULARY,
            length=LENGTH,
            eos_id=1,
            mlp_ratio=ratio("text", TEXT["width"]),
            **TEXT,
            **settings,
        ),
        embedding_size=IMAGE["width"],
        image_mean=(0.5,) * 3,
        image_std=(0.5,) * 3,
        logit_scale_init=np.log(10.0),
        logit_bias_init=-10.0,
        project_image=False,
        text_projection_bias=True,
    )


def translate(theirs):
    """{their key: array} -> {our path: array}; every key is used."""
    return to_ours(hf_siglip.rules({"image": IMAGE, "text": TEXT}), theirs)


@functools.cache
def weights():
    """The oracle and its weights as our parameters."""
    theirs = hf_model()
    arrays = {k: p.detach().numpy().copy() for k, p in theirs.named_parameters()}
    return theirs, unflatten_dict(translate(arrays), sep="/")


def captions(rows=6):
    """Token ids and mask of texts of several lengths; end and padding are both 1."""
    rng = np.random.default_rng(1)
    ids = rng.integers(3, VOCABULARY, (rows, LENGTH)).astype(np.int32)
    lengths = np.array([LENGTH, 2, 5, 7, 4, 9][:rows])[:, None]
    mask = np.arange(LENGTH) < lengths
    ids[~mask | (np.arange(LENGTH) == lengths - 1)] = 1
    return ids, mask

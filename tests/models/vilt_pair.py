"""HF's ViLT and ours with the same weights, small enough for a test."""

import functools

import numpy as np
from flax.traverse_util import unflatten_dict

from tests.models.clip_pair import with_weights
from vlp_jax.models.stream_vit import StreamViT
from vlp_jax.models.vilt import Vilt
from vlp_jax.porting import hf_vilt
from vlp_jax.porting.weights import to_ours

SIZE, PATCH, LENGTH, VOCABULARY, ANSWERS = 12, 4, 10, 40, 5
IMAGE = dict(width=24, depth=2, heads=3)
HIDDEN = 60
HALF = (0.5, 0.5, 0.5)
# A head alone, by its class there.
HEADS = {
    "ViltForMaskedLM": dict(masked_lm=True, matching=False),
    "ViltForImageAndTextRetrieval": dict(masked_lm=False, matching=True),
    "ViltForQuestionAnswering": dict(masked_lm=False, matching=False, answers=ANSWERS),
}


@functools.cache
def hf_model(kind):
    """In float32; max_image_length=-1 leaves no patch out."""
    import transformers

    config = transformers.ViltConfig(
        hidden_size=IMAGE["width"],
        num_hidden_layers=IMAGE["depth"],
        num_attention_heads=IMAGE["heads"],
        intermediate_size=HIDDEN,
        image_size=SIZE,
        patch_size=PATCH,
        vocab_size=VOCABULARY,
        max_position_embeddings=LENGTH,
        max_image_length=-1,
        id2label={i: str(i) for i in range(ANSWERS)},
        label2id={str(i): i for i in range(ANSWERS)},
        attn_implementation="eager",
    )
    return with_weights(getattr(transformers, kind)(config).float().eval())


def our_model(kind, **settings):
    """Of the same shape."""
    return Vilt(
        image=StreamViT(
            image_size=SIZE,
            patch_size=PATCH,
            mlp_ratio=HIDDEN / IMAGE["width"],
            **IMAGE,
            **settings,
        ),
        vocab_size=VOCABULARY,
        length=LENGTH,
        image_mean=HALF,
        image_std=HALF,
        **HEADS[kind],
    )


def translate(kind, theirs):
    """{their key: array} -> {our path: array}; every key is used exactly once."""
    return to_ours(hf_vilt.rules({"image": IMAGE, **HEADS[kind]}), theirs)


def params(kind):
    """HF's weights in our tree."""
    named = hf_model(kind).named_parameters()
    found = {k: p.detach().numpy().copy() for k, p in named}
    return unflatten_dict(translate(kind, found), sep="/")


def pictures(rows, height=SIZE, width=SIZE):
    rng = np.random.default_rng(2)
    return rng.integers(0, 256, (rows, height, width, 3)).astype(np.uint8)


def captions(rows):
    """Token ids and mask of several lengths."""
    rng = np.random.default_rng(1)
    ids = rng.integers(3, VOCABULARY, (rows, LENGTH)).astype(np.int32)
    ends = np.array([LENGTH, 2, 5, 7, 1, 9, 4, 8])[:rows]
    return ids, np.arange(LENGTH) < ends[:, None]

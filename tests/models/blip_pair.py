"""HF's BLIP and ours with the same weights, small enough for a test."""

import functools

import numpy as np
from flax.traverse_util import unflatten_dict

from tests.models.clip_pair import with_weights
from vlp_jax.models.blip import Blip
from vlp_jax.models.decoder import BertDecoder
from vlp_jax.models.mixed_bert import MixedBert
from vlp_jax.models.vit import PlainViT
from vlp_jax.porting import hf_blip
from vlp_jax.porting.weights import to_ours

SIZE, PATCH, LENGTH, WORDS, EMBEDDING = 8, 4, 9, 30, 12
VOCABULARY = WORDS + 2  # [DEC] and [ENC]
PADDING, START, END = 0, 1, 2
IMAGE = dict(width=24, depth=2, heads=3)
TEXT = dict(width=24, depth=2, heads=4)
HIDDEN = {"image": 60, "text": 40}
HALF = (0.5, 0.5, 0.5)
RETRIEVAL, CAPTIONING, ANSWERING = hf_blip.CLASSES


@functools.cache
def hf_model(kind):
    """In float32."""
    import transformers

    def shape(part, width, depth, heads):
        return dict(
            hidden_size=width,
            intermediate_size=HIDDEN[part],
            num_hidden_layers=depth,
            num_attention_heads=heads,
        )

    config = transformers.BlipConfig(
        vision_config=shape("image", **IMAGE) | dict(image_size=SIZE, patch_size=PATCH),
        text_config=shape("text", **TEXT)
        | dict(
            vocab_size=VOCABULARY,
            max_position_embeddings=LENGTH,
            bos_token_id=WORDS,
            sep_token_id=END,
            pad_token_id=PADDING,
        ),
        image_text_hidden_size=EMBEDDING,
        attn_implementation="eager",
    )
    return with_weights(getattr(transformers, kind)(config).float().eval())


def shared_model(**settings):
    """As it is pretrained: the decoder shares all but its self-attention."""
    towers = {name: settings.pop(name) for name in ("scan",) if name in settings}
    given = {"embedding_size": EMBEDDING, "text": tower(MixedBert, **towers)} | settings
    return Blip(
        image=PlainViT(
            image_size=SIZE,
            patch_size=PATCH,
            mlp_ratio=HIDDEN["image"] / IMAGE["width"],
            norm_epsilon=1e-5,
            **IMAGE,
            **towers,
        ),
        image_mean=HALF,
        image_std=HALF,
        **{"bos_id": START, **given},
    )


def tower(kind, **settings):
    ratio = HIDDEN["text"] / TEXT["width"]
    given = dict(vocab_size=VOCABULARY, length=LENGTH, mlp_ratio=ratio, token_types=0)
    return kind(**(given | TEXT | settings))


def our_model(kind, scan=False):
    """Of the shape of HF's."""
    settings = dict(encode_token=False, has_scale=False, scan=scan)
    if kind == RETRIEVAL:
        return shared_model(captioning=False, **settings)
    settings |= dict(embedding_size=None, matching=False)
    settings["decoder"] = tower(BertDecoder, scan=scan)
    if kind == CAPTIONING:
        return shared_model(text=None, **settings)
    return shared_model(captioning=False, answering=True, **settings)


def translate(kind, theirs):
    """{their key: array} -> {our path: array}; every key is used exactly once."""
    parts = {
        RETRIEVAL: dict(embedding_size=EMBEDDING, matching=True, text=TEXT),
        CAPTIONING: dict(matching=False, decoder=TEXT),
        ANSWERING: dict(matching=False, text=TEXT, decoder=TEXT),
    }[kind]
    kinds = {k: v | {"kind": "some"} for k, v in parts.items() if v is TEXT}
    return to_ours(hf_blip.rules({"image": IMAGE, **parts, **kinds}), theirs)


def params(kind):
    """HF's weights in our tree."""
    named = hf_model(kind).named_parameters()
    found = {k: p.detach().numpy().copy() for k, p in named}
    return unflatten_dict(translate(kind, found), sep="/")


def pictures(rows):
    rng = np.random.default_rng(2)
    return rng.integers(0, 256, (rows, SIZE, SIZE, 3)).astype(np.uint8)


def texts(rows, seed=1):
    """Token ids and mask of several lengths, with start and end."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(3, WORDS, (rows, LENGTH)).astype(np.int32)
    ends = np.array([LENGTH - 1, 1, 4, 6, 3, 7])[:rows, None]
    at = np.arange(LENGTH)
    ids = np.where(at == ends, END, np.where(at > ends, PADDING, ids))
    ids[:, 0] = START
    return ids.astype(np.int32), at <= ends

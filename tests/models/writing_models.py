"""Small models that learn and write captions: CoCa, SimVLM, and a captioner."""

import numpy as np

from tests.models import coca_pair
from tests.models.coca_pair import LENGTH, VOCABULARY, captions, pictures
from vlp_jax.models.captioner import Captioner
from vlp_jax.models.decoder import Gpt2Decoder, PrefixDecoder
from vlp_jax.models.simvlm import SimVlm
from vlp_jax.models.vit import ViT

START, END = 2, 3
STATISTICS = dict(image_mean=(0.5,) * 3, image_std=(0.5,) * 3)
WORDS = dict(vocab_size=VOCABULARY, length=LENGTH, width=12, depth=1, heads=3)


def tower():
    size = dict(image_size=coca_pair.SIZE, patch_size=coca_pair.PATCH)
    return ViT(width=16, depth=1, heads=2, **size)


MODELS = {
    "coca": lambda: coca_pair.our_model(),
    "simvlm": lambda: SimVlm(tower(), PrefixDecoder(**WORDS), **STATISTICS),
    "captioner": lambda: Captioner(tower(), Gpt2Decoder(**WORDS), **STATISTICS),
}
# What each of them learns from.
LOSSES = {
    "coca": ("contrastive", "captioning"),
    "simvlm": ("prefix_lm",),
    "captioner": ("captioning",),
}


def batch(rows=8):
    """Texts of several lengths; a row that only fills up."""
    some = np.arange(rows) % 5
    tokens, mask = (x[some] for x in captions())
    numbers = np.arange(rows, dtype=np.int32)
    return {
        "image": pictures(rows),
        "text_tokens": tokens,
        "text_mask": mask,
        "valid": numbers != 5,
        "sample_id": numbers,
    }

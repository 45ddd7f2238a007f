"""Where a model looks for a word: heat over a picture, as Grad-CAM draws it."""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from vlp_jax.core.types import Predictor
from vlp_jax.evaluation.metrics.caption_tokens import caption_tokens

SIDE = 192  # of what is drawn, pixels
STRONGEST = 0.6  # how much of the hottest place is colour
# From cold to hot: how hot, and its colour.
HEAT = np.array([0, 0.35, 0.65, 1])
COLOURS = np.array([[50, 60, 200], [40, 190, 190], [250, 210, 50], [220, 30, 30]])
# Words that no part of a picture shows.
SHOWN_NOWHERE = frozenset(
    "a an the and or of is are was were be been there it its this that these those we "
    "see here only with to in on at by for from as 's n't".split()
)


def word_maps(
    predictor: Predictor, picture: UInt8[np.ndarray, "s s 3"], text: str
) -> list[dict[str, Any]]:
    """[{word, heat float32 [h, w]}] of the words of a caption that a picture may show.

    Of a model that can 'attend'.
    """
    words = [w for w in caption_tokens(text) if w.isalpha() and w not in SHOWN_NOWHERE]
    return [
        {"word": word, "heat": predictor.attention_map(picture, text, word)}
        for word in dict.fromkeys(words)
    ]


def overlay(
    picture: UInt8[np.ndarray, "s s 3"], heat: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "side side 3"]:
    """The picture with its hot places coloured, 192 pixels a side.

    heat: one value for each patch, in rows from the top left; only differences count:
    the coldest patch shows the picture as it is, and so does an even map.
    """
    way = Image.Resampling.NEAREST if len(picture) < SIDE else Image.Resampling.LANCZOS
    base = Image.fromarray(picture).resize((SIDE, SIDE), way)
    low, high = float(heat.min()), float(heat.max())
    share = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    smooth = Image.fromarray(share.astype(np.float32))
    smooth = smooth.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    share = np.asarray(smooth, np.float32)[..., None].clip(0, 1)
    colour = np.concatenate([np.interp(share, HEAT, x) for x in COLOURS.T], axis=-1)
    weight = STRONGEST * share
    mixed = (1 - weight) * np.asarray(base, np.float32) + weight * colour
    return mixed.round().astype(np.uint8)

"""The same crop of a picture by both decoders, and pictures of noise."""

import numpy as np
from PIL import Image

from vlp_jax.data.transforms import crop as crops
from vlp_jax.data.transforms.crop import RandomResizedCrop


def both(data, crop=RandomResizedCrop, **keywords) -> list[np.ndarray]:
    """By each decoder, with the same generator."""
    return [
        crop(decoder=decoder, **keywords)(data, np.random.default_rng(5))
        for decoder in crops.DECODERS
    ]


def noise(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height * 1000 + width)
    coarse = rng.integers(0, 256, (7, 9, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height)), np.int64)
    return (smooth + rng.integers(-20, 20, smooth.shape)).clip(0, 255).astype(np.uint8)

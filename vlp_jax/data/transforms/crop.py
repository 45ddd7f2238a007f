"""Training pictures: a random part of the picture, or all of it, as a square.

`decoder` says who makes it. 'fast' (jpeg.py) takes JPEG files at twice Pillow's speed,
and leaves everything else to Pillow; 'pillow' is what evaluation uses, pixel for pixel.
Both cut the same boxes, and refuse the same files for the same causes.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.data.transforms.image import (
    INTERPOLATIONS,
    Preprocessing,
    check_size,
    decode_image,
    number_tuple,
)

DECODERS = ("fast", "pillow")

Picture = bytes | np.ndarray | Image.Image
Box = tuple[int, int, int, int]  # left, top, right, bottom


def check_decoder(decoder: str) -> None:
    lookup(dict.fromkeys(DECODERS), decoder, "data.decoder")


def fast_crop(
    image: Picture, choose_box: Callable[[int, int], Box], size: int, interpolation: str
) -> tuple[np.ndarray | None, Box | None]:
    """(uint8 [size, size, 3], its box) of a JPEG file; no picture: Pillow is to try.

    choose_box: (width, height) -> the box. It is called once at most: a box that was
    drawn for a file that turns out to be broken is returned.
    """
    from vlp_jax.data.transforms import jpeg  # and with it OpenCV: only where wanted

    found = jpeg.size_of(image) if isinstance(image, bytes) else None
    if found is None:
        return None, None
    box = choose_box(*found)
    return jpeg.crop(image, box, size, interpolation), box


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop:
    """A random part of the picture, resized to the square (training).

    Szegedy et al. 2014, as torchvision defines it: `scale` bounds the share of the
    area, `ratio` width / height, drawn log-uniformly. After ten draws that do not fit
    it takes the largest centre crop whose ratio is allowed.
    """

    image_size: int = 224
    scale: tuple[float, float] = (0.5, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bicubic"
    decoder: str = "fast"

    def __post_init__(self):
        check_size(self.image_size, "random_resized_crop")
        check_decoder(self.decoder)
        lookup(INTERPOLATIONS, self.interpolation, "interpolation of the random crop")
        for field in ("scale", "ratio"):
            what = f"{field} of random_resized_crop"
            low, high = number_tuple(getattr(self, field), 2, what, above=0)
            if low > high or (field == "scale" and high > 1):
                raise ConfigError(
                    f"{what} is ({low}, {high}); expected (low, high) with low <= high"
                    f"{' <= 1' if field == 'scale' else ''}"
                )
            object.__setattr__(self, field, (low, high))

    def box(self, width: int, height: int, rng: np.random.Generator):
        """The crop (left, top, right, bottom) in pixels."""
        log_ratio = np.log(self.ratio)
        for _ in range(10):
            area = width * height * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(*log_ratio))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                left = int(rng.integers(width - w + 1))
                top = int(rng.integers(height - h + 1))
                return left, top, left + w, top + h
        low, high = self.ratio
        w = min(width, max(1, round(height * high)))
        h = min(height, max(1, round(width / low)))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h

    def __call__(self, image: Picture, rng: np.random.Generator) -> np.ndarray:
        """uint8 [S, S, 3], from whatever decode_image accepts, with its errors."""

        def draw(width: int, height: int) -> Box:
            return self.box(width, height, rng)

        size, box = self.image_size, None
        if self.decoder == "fast":
            picture, box = fast_crop(image, draw, size, self.interpolation)
            if picture is not None:
                return picture
        image = decode_image(image)
        # Cut first: a filter that reads across the border of the crop (resize's own
        # `box`) would give other pixels than torchvision's.
        image = image.crop(box or draw(*image.size))
        return np.array(image.resize((size, size), INTERPOLATIONS[self.interpolation]))


@dataclasses.dataclass(frozen=True)
class WholePicture:
    """Training without a crop: what `preprocessing` keeps, by either decoder."""

    preprocessing: Preprocessing
    decoder: str = "fast"

    def __post_init__(self):
        check_decoder(self.decoder)

    def box(self, width: int, height: int) -> Box:
        """What preprocessing keeps of a picture: all, or the centre square."""
        if self.preprocessing.resize == "squash":
            return 0, 0, width, height
        short = min(width, height)
        left, top = (width - short) // 2, (height - short) // 2
        return left, top, left + short, top + short

    def __call__(self, image: Picture, rng: np.random.Generator) -> np.ndarray:
        """uint8 [S, S, 3], from whatever decode_image accepts, with its errors."""
        to = self.preprocessing
        if self.decoder == "fast":
            picture, _ = fast_crop(image, self.box, to.image_size, to.interpolation)
            if picture is not None:
                return picture
        return to(image)

"""The fast way from a JPEG file to a training picture: simplejpeg, then OpenCV.

libjpeg-turbo decodes at a half, a quarter or an eighth where that still covers the
picture that is wanted (other shares of it are slower than the whole). OpenCV's quick
filters alias when they reduce, so they enlarge a little, to the next multiple of the
wanted size, and boxes of whole pixels are averaged. The result is closer to Pillow's
antialiased bicubic than Pillow's own bilinear filter is, at twice the speed
(benchmarks/RESULTS.md). EXIF rotation is not applied, as everywhere.

Whatever is no plain JPEG, or is broken, is left to Pillow, which knows the cause.
"""

import math

import cv2
import numpy as np
import simplejpeg

from vlp_jax.data.transforms.image import MAX_BYTES, MAX_PIXELS

cv2.setNumThreads(0)  # samples are read side by side already

FILTERS = {"bicubic": cv2.INTER_CUBIC, "bilinear": cv2.INTER_LINEAR}
COLOURS = ("YCbCr", "Gray", "RGB")  # what libjpeg-turbo turns into RGB
ALIAS_FREE = 1.1  # the filters may reduce by so much without harm

Box = tuple[int, int, int, int]


def size_of(data: bytes) -> tuple[int, int] | None:
    """(width, height) by the header; None where the picture is Pillow's to decode."""
    if data[:2] != b"\xff\xd8" or len(data) > MAX_BYTES:
        return None
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return (
        (width, height) if colour in COLOURS and width * height <= MAX_PIXELS else None
    )


def crop(data: bytes, box: Box, size: int, interpolation: str) -> np.ndarray | None:
    """The box (left, top, right, bottom) as uint8 [size, size, 3].

    Where the file is decoded at 1/n, the edges of the box are rounded to n pixels: by
    less than half a pixel of the result. None: it cannot be decoded to the end.
    """
    width, height = size_of(data)
    left, top, right, bottom = box
    shrink = 1
    while shrink < 8 and min(right - left, bottom - top) >= 2 * shrink * size:
        shrink *= 2
    smallest = (math.ceil(width / shrink), math.ceil(height / shrink))
    try:
        picture = simplejpeg.decode_jpeg(
            data,
            fastdct=True,
            fastupsample=True,
            min_width=smallest[0],
            min_height=smallest[1],
        )
    except ValueError:
        return None
    left, top, right, bottom = (round(edge / shrink) for edge in box)
    return resize(picture[top:bottom, left:right], size, interpolation)


def resize(picture: np.ndarray, size: int, interpolation: str) -> np.ndarray:
    """uint8 [H, W, 3] -> [size, size, 3], without aliasing."""
    rows, columns = (
        max(1, math.ceil(side / size - (ALIAS_FREE - 1))) for side in picture.shape[:2]
    )
    larger = (columns * size, rows * size)
    picture = cv2.resize(picture, larger, interpolation=FILTERS[interpolation])
    if rows == columns == 1:
        return picture
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)

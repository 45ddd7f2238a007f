"""The fast way from a JPEG file to a training picture: simplejpeg, then OpenCV.

libjpeg-turbo decodes at a half, a quarter or an eighth where that still covers the
picture that is wanted (other shares of it are slower than the whole). OpenCV's quick
filters alias when they reduce, so the picture is smoothed before, by the kernel that
Pillow would use. The result is about as close to Pillow's bicubic as Pillow's bilinear
filter is, at twice the speed (benchmarks/RESULTS.md). EXIF rotation is not applied, as
everywhere.

Whatever is no plain JPEG, or is broken, is left to Pillow, which knows the cause.
"""

import functools
import math

import cv2
import numpy as np
import simplejpeg

from vlp_jax.data.transforms.image import MAX_BYTES, MAX_PIXELS

cv2.setNumThreads(0)  # samples are read side by side already

COLOURS = ("YCbCr", "Gray", "RGB")  # what libjpeg-turbo turns into RGB

Box = tuple[int, int, int, int]


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5 at distances x >= 0, as Pillow has it."""
    near = (1.5 * x - 2.5) * x**2 + 1
    far = -0.5 * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - x, 0)


FILTERS = {
    "bicubic": (cubic, cv2.INTER_CUBIC),
    "bilinear": (triangle, cv2.INTER_LINEAR),
}


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

    None: it cannot be decoded to the end.
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
    return resize(picture, tuple(x / shrink for x in box), size, interpolation)


def resize(
    picture: np.ndarray, box: tuple[float, ...], size: int, interpolation: str
) -> np.ndarray:
    """The box of uint8 [H, W, 3] as [size, size, 3], antialiased as Pillow does it.

    box: (left, top, right, bottom), which may lie between pixels.
    """
    left, top, right, bottom = box
    across, down = (right - left) / size, (bottom - top) / size
    x, y = math.floor(left), math.floor(top)
    picture = picture[y : math.ceil(bottom), x : math.ceil(right)]
    rows, columns = (low_pass(round(by, 2), interpolation) for by in (down, across))
    if len(rows) > 1 or len(columns) > 1:
        picture = cv2.sepFilter2D(
            picture, -1, columns, rows, borderType=cv2.BORDER_REPLICATE
        )
    how = FILTERS[interpolation][1]
    if box == (x, y, x + picture.shape[1], y + picture.shape[0]):
        return cv2.resize(picture, (size, size), interpolation=how)
    # cv2.resize knows whole pixels only; this one is told where each of them lies.
    place = np.float32(
        [
            [across, 0, left - x + across / 2 - 0.5],
            [0, down, top - y + down / 2 - 0.5],
        ]
    )
    return cv2.warpAffine(
        picture,
        place,
        (size, size),
        flags=how | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


@functools.lru_cache(4096)
def low_pass(reduction: float, interpolation: str) -> np.ndarray:
    """float32 [taps]: what takes away the detail that a reduced picture cannot hold.

    The kernel that Pillow resizes with, at whole pixels: as wide as the reduction.
    """
    reach = max(2, math.ceil(reduction)) if reduction > 1 else 0
    x = np.abs(np.arange(-reach, reach + 1) / max(reduction, 1))
    weights = FILTERS[interpolation][0](x)
    return (weights / weights.sum()).astype(np.float32)

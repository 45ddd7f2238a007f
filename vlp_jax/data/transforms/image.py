"""Pictures on the host: decoding and evaluation preprocessing, with Pillow.

All of it ends in uint8 [S, S, 3]; the model normalises on the device, so that a batch
travels as bytes. Pillow does the work, because zero-shot numbers depend on the
resize: OpenCV's and JAX's filters differ from the antialiased one that the published
models were evaluated with. Training pictures: crop.py beside.
"""

import dataclasses
import io
import math
import numbers
from collections.abc import Callable

import numpy as np
from PIL import Image, UnidentifiedImageError

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.lookup import lookup

MAX_PIXELS = 25_000_000  # Pillow itself only warns below 179 megapixels
MAX_BYTES = 64 * 2**20
# Named, so that a file cannot choose a decoder that starts programs (EPS does).
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


def check_pixels(width: int, height: int) -> None:
    """Raises BadSample('image_too_large') beyond MAX_PIXELS."""
    if width * height > MAX_PIXELS:
        raise BadSample(
            "image_too_large", f"{width}x{height}, limit {MAX_PIXELS:,} pixels"
        )


def open_bytes(data: bytes) -> Image.Image:
    """Reads the header only; the pixels are decoded by load()."""
    if not data:
        raise BadSample("image_empty", "0 bytes")
    if len(data) > MAX_BYTES:
        raise BadSample("image_too_large", f"{len(data):,} bytes, limit {MAX_BYTES:,}")
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadSample("image_too_large", str(error)) from error
    except UnidentifiedImageError as error:
        detail = f"not a picture, starts with {data[:16]!r}"
        raise BadSample("image_unreadable", detail) from error
    except Exception as error:  # decoders raise whatever a broken header provokes
        raise BadSample("image_truncated", str(error)) from error


def open_array(array: np.ndarray) -> Image.Image:
    """Wraps uint8 [H, W, 3] or [H, W]."""
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not is_picture:
        raise BadSample(
            "image_unreadable",
            f"{array.dtype}{list(array.shape)}; expected uint8 [H, W, 3] or [H, W]",
        )
    if array.size == 0:
        raise BadSample("image_empty", f"array of shape {list(array.shape)}")
    return Image.fromarray(array)


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts a loaded picture of any mode; alpha is dropped, as CLIP's pipeline does.

    Sixteen-bit greyscale keeps its upper byte (Pillow would clip it to white). Floats
    have no agreed range and are refused: BadSample('image_unreadable').
    """
    if image.mode == "RGB":
        return image
    if image.mode == "F":
        raise BadSample("image_unreadable", "float pixels have no agreed range")
    if image.mode == "I" or image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours without Pillow's warning
    return image.convert("RGB")


def decode_image(image: bytes | np.ndarray | Image.Image) -> Image.Image:
    """The picture in RGB, from encoded bytes, a uint8 array or a Pillow image.

    Animations give their first frame. EXIF rotation is not applied, because the
    evaluation pipelines that published numbers come from do not apply it either.

    Raises BadSample with the cause 'image_empty', 'image_unreadable' (not a picture),
    'image_truncated' (begins as a picture and cannot be decoded to the end) or
    'image_too_large' (by its header, before a pixel is decoded).
    """
    if isinstance(image, np.ndarray):
        image = open_array(image)
    elif isinstance(image, bytes | bytearray | memoryview):
        image = open_bytes(bytes(image))
    check_pixels(*image.size)
    try:
        image.load()
    except MemoryError:
        raise  # the machine's fault, not the picture's
    except Exception as error:  # decoders raise OSError, SyntaxError, zlib.error, ...
        raise BadSample("image_truncated", str(error)) from error
    return to_rgb(image)


def _cut_centre(
    image: Image.Image,
    size: int,
    resample: Image.Resampling,
    offset: Callable[[float], int],
) -> Image.Image:
    """The shortest side becomes `size`, then the centre square is cut out.

    offset: rounds half of what is left over.
    """
    width, height = image.size
    short, long = min(width, height), max(width, height)
    long = int(size * long / short)
    width, height = (size, long) if width <= height else (long, size)
    check_pixels(width, height)  # a strip of 1 x 100,000 grows size-fold squared
    image = image.resize((width, height), resample)
    left, top = offset((width - size) / 2.0), offset((height - size) / 2.0)
    return image.crop((left, top, left + size, top + size))


def resize_shortest(image: Image.Image, size: int, resample: Image.Resampling):
    """The shortest side becomes `size`, then the centre square is cut out.

    Rounds as torchvision's Resize and CenterCrop do, on which OpenAI's CLIP and
    open_clip rest: the long side towards zero, the offset to the nearest even.
    """
    return _cut_centre(image, size, resample, round)


def resize_shortest_floor(image: Image.Image, size: int, resample: Image.Resampling):
    """The same as transformers' CLIPImageProcessor does it: the offset towards zero.

    Of four lengths of the long side, one is cut a pixel beside resize_shortest's.
    """
    return _cut_centre(image, size, resample, int)


def resize_squash(image: Image.Image, size: int, resample: Image.Resampling):
    """To the square, whatever the proportions (SigLIP, CLIPA)."""
    return image.resize((size, size), resample)


RESIZES = {
    "shortest": resize_shortest,
    "shortest_floor": resize_shortest_floor,
    "squash": resize_squash,
}


def check_size(image_size: int, what: str) -> None:
    is_integer = isinstance(image_size, numbers.Integral)
    if not is_integer or image_size < 1:
        raise ConfigError(
            f"{what} got image_size={image_size!r}; expected a side in pixels such as "
            "224"
        )


def number_tuple(values, length: int, what: str, above: float) -> tuple[float, ...]:
    """`values` as floats, all finite and > `above` (JSON and configs bring lists)."""
    try:
        found = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        found = ()
    if len(found) != length or not all(above < x < math.inf for x in found):
        kind = "positive" if above == 0 else "finite"
        raise ConfigError(f"{what} is {values!r}; expected {length} {kind} numbers")
    return found


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What evaluation does to a picture; stored in the checkpoint beside the weights.

    `mean` and `std` (in 0..1) are carried for the device, which normalises. The
    defaults are OpenAI's CLIP; SigLIP is resize='squash' with mean = std = 0.5.
    """

    image_size: int = 224
    resize: str = "shortest"
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD

    def __post_init__(self):
        check_size(self.image_size, "preprocessing")
        lookup(RESIZES, self.resize, "resize of preprocessing")
        lookup(INTERPOLATIONS, self.interpolation, "interpolation of preprocessing")
        for field, above in (("mean", -math.inf), ("std", 0)):
            what = f"{field} of preprocessing"
            values = number_tuple(getattr(self, field), 3, what, above)
            object.__setattr__(self, field, values)

    def __call__(self, image: bytes | np.ndarray | Image.Image) -> np.ndarray:
        """uint8 [S, S, 3], from whatever decode_image accepts, with its errors."""
        resize = RESIZES[self.resize]
        resample = INTERPOLATIONS[self.interpolation]
        return np.array(resize(decode_image(image), self.image_size, resample))

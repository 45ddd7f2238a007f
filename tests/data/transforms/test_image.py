"""Decoding of real and broken files, and resizing pixel for pixel."""

import io
import json
import warnings
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from tests.data.tars import png_claiming
from tests.data.transforms.decoders import noise
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.transforms.image import (
    OPENAI_MEAN,
    OPENAI_STD,
    Preprocessing,
    decode_image,
)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


JPEG = encode(Image.fromarray(noise(60, 80)), "JPEG")
PNG = encode(Image.fromarray(noise(60, 80)), "PNG")

BROKEN = {
    "nothing": (b"", "image_empty"),
    "html": (b"<!DOCTYPE html><title>404</title>", "image_unreadable"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image_unreadable"),
    "half a jpeg": (JPEG[: len(JPEG) // 2], "image_truncated"),
    "jpeg header": (JPEG[:100], "image_truncated"),
    "half a png": (PNG[: len(PNG) // 2], "image_truncated"),
    "bomb": (png_claiming(50_000, 50_000), "image_too_large"),
    "small bomb": (png_claiming(5_001, 5_000), "image_too_large"),
    "bomb pillow warns of": (png_claiming(10_000, 10_000), "image_too_large"),
    "floats": (np.zeros((4, 4, 3), np.float32), "image_unreadable"),
    "four channels": (np.zeros((4, 4, 4), np.uint8), "image_unreadable"),
    "no rows": (np.zeros((0, 4, 3), np.uint8), "image_empty"),
    "float image": (Image.new("F", (4, 4)), "image_unreadable"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_broken_images_name_their_cause(name):
    data, cause = BROKEN[name]
    with pytest.raises(BadSample) as caught:
        decode_image(data)
    assert caught.value.cause == cause


def test_too_many_bytes_are_refused_before_parsing(monkeypatch):
    monkeypatch.setattr("vlp_jax.data.transforms.image.MAX_BYTES", 100)
    with pytest.raises(BadSample, match=r"image_too_large: .* bytes, limit 100"):
        decode_image(JPEG)


def test_limit_of_pixels_is_inclusive():
    header_only = Image.open(io.BytesIO(png_claiming(5_000, 5_000)))
    with pytest.raises(BadSample) as caught:
        decode_image(header_only)
    assert caught.value.cause == "image_truncated"  # passed the limit, has no pixels


def pixel(image) -> tuple[int, ...]:
    decoded = decode_image(image)
    assert decoded.mode == "RGB"
    return decoded.getpixel((1, 1))


def test_every_mode_becomes_rgb():
    red = Image.new("RGB", (8, 8), (200, 30, 40))
    see_through = Image.new("RGBA", (8, 8), (200, 30, 40, 0))
    assert pixel(encode(red, "PNG")) == (200, 30, 40)
    assert pixel(np.asarray(red)) == (200, 30, 40)
    assert pixel(red) == (200, 30, 40)
    assert pixel(encode(red, "WEBP", lossless=True)) == (200, 30, 40)
    assert pixel(encode(red.convert("L"), "PNG")) == (82, 82, 82)
    assert pixel(np.full((8, 8), 82, np.uint8)) == (82, 82, 82)
    assert pixel(encode(Image.new("1", (8, 8), 1), "PNG")) == (255, 255, 255)
    assert pixel(encode(see_through, "PNG")) == (200, 30, 40)  # alpha is dropped
    assert pixel(encode(Image.new("LA", (8, 8), (82, 0)), "PNG")) == (82, 82, 82)
    cmyk = encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(np.subtract(pixel(cmyk), (255, 0, 0))).max() <= 2


def test_palette_with_transparency_does_not_warn():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    data = encode(image, "PNG", transparency=b"\x00\x80")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixel(data) == (10, 20, 30)


def test_sixteen_bit_grey_keeps_the_upper_byte():
    grey = Image.fromarray(np.full((8, 8), 0x5234, np.uint16))
    assert pixel(encode(grey, "PNG")) == (0x52, 0x52, 0x52)
    assert pixel(encode(grey, "TIFF")) == (0x52, 0x52, 0x52)


def test_animation_gives_its_first_frame_and_exif_is_ignored():
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "lime", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixel(data) == (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees"
    turned = encode(Image.new("RGB", (8, 4)), "JPEG", exif=exif)
    assert decode_image(turned).size == (8, 4)


@pytest.mark.parametrize("size", [(61, 83), (83, 61), (224, 224), (335, 225), (40, 91)])
def test_shortest_equals_clip_image_processor(size):
    """transformers floors the crop's offset, so sizes are chosen where both agree."""
    oracle = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    image = Image.fromarray(noise(*size))
    out = oracle.CLIPImageProcessorPil()(image)["pixel_values"][0]
    mean, std = np.array(OPENAI_MEAN), np.array(OPENAI_STD)
    expected = (np.moveaxis(np.asarray(out), 0, -1) * std + mean) * 255
    actual = Preprocessing()(image)
    assert actual.dtype == np.uint8 and actual.shape == (224, 224, 3)
    np.testing.assert_array_equal(actual, np.rint(expected).astype(np.uint8))


@pytest.mark.parametrize(
    "width, left", [(8, 0), (9, 0), (10, 1), (11, 2), (12, 2), (13, 2), (15, 4)]
)
def test_centre_crop_rounds_as_torchvision(width, left):
    """int(round((width - 8) / 2)), half to even: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2.

    Or towards zero, as transformers rounds.
    """
    ramp = np.broadcast_to(
        np.arange(width, dtype=np.uint8)[None, :, None], (8, width, 3)
    )
    out = Preprocessing(image_size=8)(np.ascontiguousarray(ramp))
    assert out[0, :, 0].tolist() == list(range(left, left + 8))
    out = Preprocessing(image_size=8)(np.ascontiguousarray(ramp.swapaxes(0, 1)))
    assert out[:, 0, 0].tolist() == list(range(left, left + 8))
    floor = Preprocessing(image_size=8, resize="shortest_floor")
    out, left = floor(np.ascontiguousarray(ramp)), (width - 8) // 2
    assert out[0, :, 0].tolist() == list(range(left, left + 8))


def test_squash_keeps_the_borders_and_bilinear_differs():
    image = np.zeros((20, 60, 3), np.uint8)
    image[:, :20] = 255
    image[:, 40:] = 90
    squashed = Preprocessing(image_size=9, resize="squash")(image)
    cropped = Preprocessing(image_size=9)(image)
    assert squashed[4, [0, 8], 0].tolist() == [255, 90]
    assert cropped[4, 1:8].max() == 0
    picture = noise(50, 70)
    bilinear = Preprocessing(image_size=24, interpolation="bilinear")(picture)
    assert (bilinear != Preprocessing(image_size=24)(picture)).any()


def test_extreme_strip_is_refused_instead_of_filling_memory():
    with pytest.raises(BadSample, match="image_too_large"):
        Preprocessing()(np.zeros((1, 200_000, 3), np.uint8))


def test_preprocessing_survives_json():
    preprocessing = Preprocessing(image_size=32, mean=(0, 0.5, 0.5), std=(0.5,) * 3)
    assert (
        Preprocessing(**json.loads(json.dumps(asdict(preprocessing)))) == preprocessing
    )
    assert hash(preprocessing)


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"resize": "squosh"}, "did you mean 'squash'"),
        ({"interpolation": "lanczos"}, "known: bicubic, bilinear"),
        ({"image_size": 0}, "image_size=0"),
        ({"image_size": 22.4}, "image_size=22.4"),
        ({"mean": (0.5, 0.5)}, "expected 3 finite numbers"),
        ({"std": (0.5, 0.5, 0.0)}, "expected 3 positive numbers"),
        ({"std": "half"}, "expected 3 positive numbers"),
    ],
)
def test_preprocessing_refuses(keywords, message):
    with pytest.raises(ConfigError, match=message):
        Preprocessing(**keywords)

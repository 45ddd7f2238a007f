"""The fast decoder beside Pillow: as good, the same boxes, the same refusals."""

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.pictures import encode, photograph, psnr
from tests.data.transforms.decoders import both
from vlp_jax.core.errors import BadSample
from vlp_jax.data.transforms import crop as crops
from vlp_jax.data.transforms import jpeg
from vlp_jax.data.transforms.crop import RandomResizedCrop

PHOTO = encode(photograph(500, 375, seed=0), quality=90)


def by_pillow(data: bytes, box, interpolation: str = "bicubic") -> np.ndarray:
    class Fixed(RandomResizedCrop):
        def box(self, width, height, rng):
            return box

    return Fixed(224, interpolation=interpolation, decoder="pillow")(data, None)


@pytest.mark.parametrize(
    "size, at_least",  # dB; Pillow's bilinear: 39.4, 38.9, 41.5, 41.3
    [((500, 375), 42), ((256, 256), 39), ((1024, 768), 40), ((2400, 1800), 41)],
)
def test_as_close_to_pillows_bicubic_as_pillows_bilinear_is(size, at_least):
    crop, rng = RandomResizedCrop(), np.random.default_rng(0)
    ours, bilinear = [], []
    for seed in range(4):
        data = encode(photograph(*size, seed), quality=90)
        box = crop.box(*size, rng)
        expected = by_pillow(data, box)
        ours.append(psnr(jpeg.crop(data, box, 224, "bicubic"), expected))
        bilinear.append(psnr(by_pillow(data, box, "bilinear"), expected))
    assert np.mean(ours) > at_least
    assert np.mean(ours) > np.mean(bilinear) - 1


@pytest.mark.parametrize("side", [330, 440, 600, 1700])
@pytest.mark.parametrize("period", [1.3, 1.45])
@pytest.mark.parametrize("interpolation", jpeg.FILTERS)
def test_stripes_that_the_result_cannot_hold_become_grey(side, period, interpolation):
    """`period` in pixels of the result; without antialiasing 70 would be left."""
    angle = 2 * np.pi * np.arange(side) / max(2, period * side / 224)
    stripes = (128 + 100 * np.sin(angle)).astype(np.uint8)
    for picture in (stripes[None, :, None], stripes[:, None, None]):
        picture = np.ascontiguousarray(np.broadcast_to(picture, (side, side, 3)))
        whole = (0, 0, side, side)
        found = jpeg.resize(picture, whole, 224, interpolation)[9:-9, 9:-9]
        pillow = Image.fromarray(picture).resize((224, 224), Image.Resampling.BICUBIC)
        assert found.std() < np.asarray(pillow)[9:-9, 9:-9].std() + 8


@pytest.mark.parametrize("side", [40, 224, 225, 300, 450, 1000])
def test_a_plain_colour_stays_as_it_is(side):
    picture = np.full((side, side, 3), (200, 30, 40), np.uint8)
    for box in ((0, 0, side, side), (0.25, 1.5, side - 0.75, side - 1)):
        assert (jpeg.resize(picture, box, 224, "bicubic") == (200, 30, 40)).all()


@pytest.mark.parametrize("side", [500, 1000, 1001, 2000, 3700])
def test_what_is_in_the_middle_stays_there(side):
    """Also where the file is decoded at a half, a quarter or an eighth."""
    picture = np.zeros((side, side, 3), np.uint8)
    picture[:, side // 2 :] = 255
    found = jpeg.crop(encode(picture, quality=95), (0, 0, side, side), 224, "bicubic")
    assert found[:, :110].max() < 20 and found[:, 114:].min() > 235
    assert found[:, 110:114].mean() == pytest.approx(127, abs=40)


KINDS = {
    "grey": encode(Image.open(io.BytesIO(PHOTO)).convert("L")),
    "cmyk": encode(Image.open(io.BytesIO(PHOTO)).convert("CMYK")),
    "progressive": encode(photograph(500, 375, 1), progressive=True),
    "4:4:4": encode(photograph(500, 375, 1), subsampling=0),
    "stored as RGB": encode(photograph(500, 375, 1), keep_rgb=True),
    "png": encode(photograph(300, 200, 1), "PNG"),
    "webp": encode(photograph(300, 200, 1), "WEBP"),
    "bytes after the end": PHOTO + b"more",
    "smaller than the result": encode(photograph(90, 60, 1)),
    "one pixel": encode(np.zeros((1, 1, 3), np.uint8)),
    "array": photograph(300, 200, 2),
    "strip": encode(photograph(1500, 9, 1)),
}
PILLOWS = ("cmyk", "png", "webp", "array")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_picture(name):
    fast, pillow = both(KINDS[name])
    assert fast.shape == (224, 224, 3) and fast.dtype == np.uint8
    assert fast.flags.c_contiguous
    assert psnr(fast, pillow) > 30
    assert (name in PILLOWS) == (jpeg_size(KINDS[name]) is None)
    if name in PILLOWS:
        np.testing.assert_array_equal(fast, pillow)


def jpeg_size(data):
    return jpeg.size_of(data) if isinstance(data, bytes) else None


def test_rotation_by_exif_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees"
    turned = encode(photograph(500, 375, seed=0), quality=90, exif=exif)
    assert jpeg.size_of(turned) == (500, 375)
    for one, other in zip(both(turned), both(PHOTO), strict=True):
        np.testing.assert_array_equal(one, other)


def cause(data: bytes, decoder: str) -> str | None:
    try:
        RandomResizedCrop(64, decoder=decoder)(data, np.random.default_rng(0))
    except BadSample as error:
        return error.cause


def test_a_file_cut_anywhere_is_refused_for_the_same_cause():
    small = encode(photograph(80, 60, seed=0), quality=80)
    causes = []
    for length in range(0, len(small), 7):
        found = [cause(small[:length], decoder) for decoder in crops.DECODERS]
        assert found[0] == found[1] is not None
        causes.append(found[0])
    assert set(causes) == {"image_empty", "image_unreadable", "image_truncated"}
    assert cause(small, "fast") is None


def test_damage_in_the_middle_is_judged_by_pillow():
    """What Pillow can still show is shown, in the same box."""
    rng, differ = np.random.default_rng(0), 0
    small = encode(photograph(80, 60, seed=0), quality=80)
    for _ in range(60):
        broken = bytearray(small)
        for at in rng.integers(20, len(small), 3):
            broken[at] = rng.integers(256)
        broken = bytes(broken)
        causes = [cause(broken, decoder) for decoder in crops.DECODERS]
        assert causes[0] == causes[1], broken
        if causes[0] is None and jpeg.size_of(broken):
            box = (0, 0, *jpeg.size_of(broken))
            if jpeg.crop(broken, box, 64, "bicubic") is None:
                np.testing.assert_array_equal(*both(broken))
                differ += 1
    assert differ > 5


def test_limits_are_checked_before_a_pixel_is_decoded(monkeypatch):
    assert cause(b"<html>", "fast") == "image_unreadable"
    header = bytearray(encode(np.zeros((8, 8, 3), np.uint8)))
    at = header.index(b"\xff\xc0") + 5
    header[at : at + 4] = (5001).to_bytes(2, "big") + (5000).to_bytes(2, "big")
    assert cause(bytes(header), "fast") == "image_too_large"
    for module in ("image", "jpeg"):
        name = f"vlp_jax.data.transforms.{module}.MAX_BYTES"
        monkeypatch.setattr(name, len(PHOTO) - 1)
    assert jpeg.size_of(PHOTO) is None
    assert cause(PHOTO, "fast") == "image_too_large"

"""Which box of a picture is trained on, by either decoder, pixel for pixel."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.pictures import encode, photograph, psnr
from tests.data.transforms.decoders import both, noise
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.transforms import crop as crops
from vlp_jax.data.transforms.crop import RandomResizedCrop, WholePicture, fast_crop
from vlp_jax.data.transforms.image import Preprocessing

# ---- a random part


@pytest.mark.parametrize(
    "keywords",
    [
        {"scale": (0.9, 0.5)},
        {"scale": (0.5, 1.5)},
        {"ratio": (4 / 3, 3 / 4)},
        {"ratio": (0, 1)},
        {"image_size": -1},
        {"interpolation": "cubic"},
    ],
)
def test_random_crop_refuses(keywords):
    with pytest.raises(ConfigError):
        RandomResizedCrop(**keywords)


def test_random_crop_is_a_function_of_its_generator():
    crop = RandomResizedCrop(image_size=16)
    image = Image.fromarray(noise(60, 80))
    first, again, other = (crop(image, np.random.default_rng(s)) for s in (1, 1, 2))
    assert first.shape == (16, 16, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_random_crop_keeps_its_bounds():
    crop = RandomResizedCrop(scale=(0.3, 0.6))
    rng = np.random.default_rng(0)
    boxes = np.array([crop.box(400, 300, rng) for _ in range(500)])
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    share = width * height / (400 * 300)
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 400 and boxes[:, 3].max() <= 300
    assert 0.29 < share.min() < 0.33 and 0.57 < share.max() < 0.61
    assert 0.74 < (width / height).min() < 0.78 and 1.28 < (width / height).max() < 1.35
    assert len(set(map(tuple, boxes))) > 450


@pytest.mark.parametrize(
    "size, box",
    [
        ((1000, 10), (493, 0, 506, 10)),  # too wide: ratio 4/3, round(13.33) = 13
        ((10, 1000), (0, 493, 10, 506)),
        ((1, 1), (0, 0, 1, 1)),
    ],
)
def test_random_crop_falls_back_to_the_centre(size, box):
    assert RandomResizedCrop().box(*size, np.random.default_rng(0)) == box


def test_whole_image_crop_equals_squash():
    crop = RandomResizedCrop(image_size=24, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    image = noise(50, 50)
    expected = Preprocessing(image_size=24, resize="squash")(image)
    np.testing.assert_array_equal(crop(image, np.random.default_rng(0)), expected)


# ---- both decoders


def test_both_decoders_cut_the_same_boxes():
    y, x = np.mgrid[:375, :500]
    smooth = np.stack([x / 2, y / 2, (x + y) / 4], axis=-1).astype(np.uint8)
    data = encode(smooth, quality=98)
    for seed in range(20):
        fast, pillow = (
            RandomResizedCrop(64, scale=(0.1, 1.0), decoder=decoder)(
                data, np.random.default_rng(seed)
            )
            for decoder in crops.DECODERS
        )
        assert np.abs(fast.astype(int) - pillow).max() <= 6


@pytest.mark.parametrize("resize", ["shortest", "squash"])
@pytest.mark.parametrize("size", [(500, 375), (300, 801), (256, 256)])
def test_without_a_crop_it_is_what_evaluation_sees(resize, size):
    preprocessing = Preprocessing(image_size=128, resize=resize)
    data = encode(photograph(*size, seed=3), quality=95)
    fast, pillow = both(data, WholePicture, preprocessing=preprocessing)
    np.testing.assert_array_equal(pillow, preprocessing(data))
    assert psnr(fast, pillow) > 27  # the centre square may be half a pixel off
    png = encode(photograph(*size, seed=3), "PNG")
    fast, pillow = both(png, WholePicture, preprocessing=preprocessing)
    np.testing.assert_array_equal(fast, pillow)


def test_an_unknown_decoder_is_refused():
    for build in (RandomResizedCrop, lambda decoder: WholePicture(None, decoder)):
        with pytest.raises(ConfigError, match="unknown data.decoder 'pilow'; known"):
            build(decoder="pilow")


@pytest.mark.parametrize(
    ("resize", "size", "box"),
    [
        ("squash", (500, 375), (0, 0, 500, 375)),
        ("shortest", (500, 375), (62, 0, 437, 375)),
        ("shortest", (300, 801), (0, 250, 300, 550)),
        ("shortest", (7, 7), (0, 0, 7, 7)),
    ],
)
def test_what_is_kept_of_a_whole_picture(resize, size, box):
    crop = WholePicture(Preprocessing(image_size=128, resize=resize))
    assert crop.box(*size) == box


def test_the_drawn_box_is_cut_by_pillow_before_it_is_resized():
    crop = RandomResizedCrop(image_size=16, decoder="pillow")
    image = noise(60, 80)
    left, top, right, bottom = crop.box(80, 60, np.random.default_rng(3))
    part = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
    expected = np.asarray(part.resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(crop(image, np.random.default_rng(3)), expected)


# ---- the fast way, and when Pillow is to try


def boxes_asked(image, box=(0, 0, 40, 30)) -> tuple:
    """(what fast_crop gives, the sizes for which it asked for a box)."""
    asked = []

    def choose(width, height):
        asked.append((width, height))
        return box

    return fast_crop(image, choose, 32, "bicubic"), asked


def test_a_jpeg_file_is_cut_in_the_box_that_is_chosen():
    (picture, box), asked = boxes_asked(encode(noise(60, 80)))
    assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8
    assert box == (0, 0, 40, 30) and asked == [(80, 60)]


@pytest.mark.parametrize(
    "image", [encode(noise(60, 80), "PNG"), noise(60, 80), b"", b"<html>"]
)
def test_no_box_is_drawn_for_what_is_no_jpeg_file(image):
    assert boxes_asked(image) == ((None, None), [])


def test_the_box_drawn_for_a_broken_file_stays():
    """Or else Pillow would cut another one, and draw what belongs to others."""
    data = encode(noise(60, 80))
    assert boxes_asked(data[: len(data) // 2]) == ((None, (0, 0, 40, 30)), [(80, 60)])
    rng = np.random.default_rng(0)
    with pytest.raises(BadSample, match="image_truncated"):
        RandomResizedCrop(16, decoder="fast")(data[: len(data) // 2], rng)
    alone = np.random.default_rng(0)
    RandomResizedCrop(16).box(80, 60, alone)
    assert rng.random() == alone.random()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scale": (0.5, 1.5)}, "scale of random_resized_crop is .0.5, 1.5.*<= 1$"),
        ({"ratio": (2.0, 1.0)}, "ratio of random_resized_crop is .*low <= high$"),
        (
            {"interpolation": "cubic"},
            "interpolation of the random crop 'cubic'; known",
        ),
        ({"decoder": "Fast"}, "unknown data.decoder 'Fast'; known: fast, pillow"),
    ],
)
def test_what_is_said_of_wrong_settings(settings, said):
    with pytest.raises(ConfigError, match=said):
        RandomResizedCrop(**settings)


def test_settings_of_json_are_the_same_crop():
    assert RandomResizedCrop(scale=[0.5, 1], ratio=[1, 1]) == RandomResizedCrop(
        scale=(0.5, 1.0), ratio=(1.0, 1.0)
    )

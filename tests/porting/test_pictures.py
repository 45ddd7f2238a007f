"""Preprocessing in other words: the same pictures; what differs is refused."""

import json

import numpy as np
import pytest

from tests.porting.tiny_models import preprocessing, short
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.transforms.image import OPENAI_MEAN, OPENAI_STD, Preprocessing
from vlp_jax.porting import pictures
from vlp_jax.proof import samples

OURS = {
    "clip": preprocessing("clip"),  # with transformers' rounding
    "siglip": preprocessing("siglip"),
    "bilinear": preprocessing("siglip") | {"interpolation": "bilinear"},
}


@pytest.mark.parametrize("kind", OURS)
def test_settings_come_back(kind):
    assert pictures.read_hf(pictures.write_hf(OURS[kind])) == OURS[kind]
    ours = OURS[kind] | ({"resize": "shortest"} if kind == "clip" else {})
    written = pictures.write_open_clip(ours)
    assert pictures.read_open_clip(written, ours["image_size"]) == ours


def test_each_has_a_rounding_of_its_own():
    """What the other cannot say is read back as the other does it."""
    floor, even = OURS["clip"], OURS["clip"] | {"resize": "shortest"}
    assert pictures.read_hf(pictures.write_hf(even)) == floor
    assert pictures.read_open_clip(pictures.write_open_clip(floor), 12) == even


@pytest.mark.parametrize("kind", OURS)
def test_transformers_makes_our_pictures(tmp_path, kind):
    """On photographs and scenes of several shapes."""
    from PIL import Image
    from transformers import AutoImageProcessor

    config = json.dumps(pictures.write_hf(OURS[kind] | {"image_size": 32}))
    (tmp_path / "preprocessor_config.json").write_text(config)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    ours = Preprocessing(**OURS[kind] | {"image_size": 32})
    given, _ = samples()
    found = processor([Image.fromarray(x) for x in given], return_tensors="np")
    pixels = np.stack([ours(x) for x in given]) / 255
    expected = (pixels - OURS[kind]["mean"]) / OURS[kind]["std"]
    np.testing.assert_allclose(
        np.asarray(found["pixel_values"]).transpose(0, 2, 3, 1), expected, atol=2e-6
    )


def test_older_spellings():
    """As OpenAI's weights were first published: whole numbers for sizes."""
    found = pictures.read_hf(
        {
            "crop_size": 224,
            "do_center_crop": True,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "image_mean": list(OPENAI_MEAN),
            "image_std": list(OPENAI_STD),
            "resample": 3,
            "size": 224,
        }
    )
    assert found == {
        "image_size": 224,
        "resize": "shortest_floor",
        "interpolation": "bicubic",
        "mean": OPENAI_MEAN,
        "std": OPENAI_STD,
    }


VILT = {
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "resample": 3,
    "size_divisor": 32,
}


@pytest.mark.parametrize(
    "given",
    [
        dict(size=384),
        dict(image_processor_type="ViltImageProcessor"),
        dict(image_processor_type="ViltImageProcessor", size={"shortest_edge": 384}),
    ],
)
def test_pictures_of_several_sizes_become_squares(given):
    """ViLT's keep their proportions there, and with them the shorter side."""
    found = pictures.read_hf(VILT | given)
    assert found == {
        "image_size": 384,
        "resize": "squash",
        "interpolation": "bicubic",
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
    }


SIZES = {
    "CLIP": dict(size=48, crop_size=48),
    "ViT": dict(size=48),
    "Siglip": {},
    "Vilt": {},  # of squares
    "Blip": {},
}


@pytest.mark.parametrize("name", pictures.PROCESSORS)
def test_defaults_of_transformers(tmp_path, name):
    """Its own classes with what they do where their file says nothing."""
    from PIL import Image
    from transformers import AutoImageProcessor

    config = {"image_processor_type": f"{name}ImageProcessor", **SIZES[name]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    found = pictures.read_hf(config | {"resample": None})
    ours, picture = Preprocessing(**found), samples()[0][0]
    picture = picture[:400, :400] if name == "Vilt" else picture
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    theirs = processor([Image.fromarray(picture)], return_tensors="np")
    expected = (ours(picture) / 255 - found["mean"]) / found["std"]
    np.testing.assert_allclose(
        np.asarray(theirs["pixel_values"])[0].transpose(1, 2, 0), expected, atol=2e-6
    )


def test_defaults_of_open_clip():
    assert pictures.read_open_clip({}, 96) == {
        "image_size": 96,
        "resize": "shortest",
        "interpolation": "bicubic",
        "mean": OPENAI_MEAN,
        "std": OPENAI_STD,
    }


OTHER = {"image_processor_type": "BitImageProcessor"}
# What is changed (None: left out) in CLIP's preprocessor_config.json, and what is said.
REFUSED = {
    "no resize": ({"do_resize": False}, "do_resize=false"),
    "no scale": ({"do_rescale": False}, "do_rescale=false"),
    "no mean": ({"do_normalize": False}, "do_normalize=false"),
    "crop of another size": (
        {"crop_size": {"height": 10, "width": 10}},
        "size={'shortest_edge': 12}, crop_size={'height': 10, 'width': 10}",
    ),
    "no crop": ({"do_center_crop": False}, "crop_size=None"),
    "no square": (
        {"do_center_crop": False, "size": {"height": 12, "width": 14}},
        "height = width",
    ),
    "no size": (OTHER | {"size": None, "crop_size": None}, "size={}"),
    "lanczos": ({"resample": 1}, ": resample is 1, which has no equal there (3, 2)"),
    "other range": ({"rescale_factor": 1 / 127.5}, "rescale_factor"),
    "mean not given": (OTHER | {"image_mean": None}, "image_mean"),
    "a default that we do not know": (
        OTHER | {"resample": None},
        "preprocessor_config.json: resample is None, which has no equal there (3, 2)",
    ),
    "a size that is none": ({"size": "x"}, "preprocessor_config.json lacks a setting"),
    "a factor that is none": ({"rescale_factor": "x"}, "of another type (TypeError:"),
    "a list": ({"crop_size": [12, 12]}, "of another type (AttributeError:"),
    "deviation of one channel": ({"image_std": [0.5]}, "image_std"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_we_do_otherwise_is_refused(case):
    changes, said = REFUSED[case]
    given = pictures.write_hf(OURS["clip"]) | changes
    with pytest.raises(ConfigError) as error:
        pictures.read_hf({k: v for k, v in given.items() if v is not None})
    assert said in str(error.value) and short(error)
    assert "preprocessor_config.json" in str(error.value)


def test_a_config_of_another_type():
    with pytest.raises(ConfigError, match="preprocess_cfg of .* another type") as error:
        pictures.read_open_clip([1], 32)
    assert short(error)


def test_what_they_do_otherwise_is_refused():
    with pytest.raises(ConfigError, match="resampling is 'nearest'.*bicubic"):
        pictures.write_hf(OURS["clip"] | {"interpolation": "nearest"})
    for form in (pictures.write_hf, pictures.write_open_clip):
        with pytest.raises(ConfigError, match="resize is 'stretch'.*squash"):
            form(OURS["clip"] | {"resize": "stretch"})
    with pytest.raises(ConfigError, match="resize_mode is 'longest'"):
        pictures.read_open_clip({"resize_mode": "longest"}, 32)
    with pytest.raises(ConfigError, match="interpolation is 'random'"):
        pictures.read_open_clip({"interpolation": "random"}, 32)

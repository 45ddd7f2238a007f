"""How pictures are prepared, in transformers' words and in open_clip's.

Where the shortest edge is resized and the centre cut out, open_clip rounds as we do and
transformers towards zero, one pixel beside for some sizes ('shortest_floor'). Neither
has a word for the other's rounding: what is written is then read back as the other.
"""

import re

from vlp_jax.core.errors import ConfigError
from vlp_jax.porting.description import Settings, refuse_unless, translated
from vlp_jax.porting.files import said_by
from vlp_jax.porting.open_clip_settings import check_known

HALF = (0.5, 0.5, 0.5)
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
RESAMPLE = {"bicubic": 3, "bilinear": 2}  # as Pillow numbers them
# Whether transformers cuts out the centre; open_clip's names.
CROPS = {"shortest": True, "shortest_floor": True, "squash": False}
RESIZE_MODES = {
    "shortest": "shortest",
    "shortest_floor": "shortest",
    "squash": "squash",
}
# Of open_clip's settings, the values that mean here what they are called.
SAME = {
    "mode": ("RGB",),
    "interpolation": tuple(RESAMPLE),
    "resize_mode": ("shortest", "squash"),
}
# What transformers' processors do where their file says nothing; others say it all.
CROPPED = {"size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": True}
SQUARE = {"size": {"height": 224, "width": 224}, "image_mean": HALF, "image_std": HALF}
PROCESSORS = {
    "CLIP": CROPPED
    | {"resample": 3, "image_mean": OPENAI_MEAN, "image_std": OPENAI_STD},
    "Siglip": SQUARE | {"resample": 3},
    "ViT": SQUARE | {"resample": 2},
    "Blip": SQUARE
    | {
        "size": {"height": 384, "width": 384},
        **{"resample": 3, "image_mean": OPENAI_MEAN, "image_std": OPENAI_STD},
    },
    "Vilt": SQUARE | {"resample": 3, "size": {"shortest_edge": 384}},
}
SCALE = 1 / 255  # of pixels, before the mean is subtracted
# What open_clip does where its config says nothing.
OPEN_CLIP = {
    "mode": "RGB",
    "resize_mode": "shortest",
    "interpolation": "bicubic",
    "mean": OPENAI_MEAN,
    "std": OPENAI_STD,
}


def write_hf(preprocessing: Settings) -> Settings:
    """preprocessor_config.json."""
    size = preprocessing["image_size"]
    square = {"height": size, "width": size}
    common = {
        "do_resize": True,
        "resample": translated(RESAMPLE, preprocessing["interpolation"], "resampling"),
        "do_rescale": True,
        "rescale_factor": SCALE,
        "do_normalize": True,
        "image_mean": list(preprocessing["mean"]),
        "image_std": list(preprocessing["std"]),
        "do_convert_rgb": True,
    }
    if not translated(CROPS, preprocessing["resize"], "resize"):
        return common | {
            "image_processor_type": "SiglipImageProcessor",
            "size": square,
        }
    return common | {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": size},
        "do_center_crop": True,
        "crop_size": square,
    }


@said_by("preprocessor_config.json")
def read_hf(config: Settings) -> Settings:
    """Our preprocessing; ConfigError for what it cannot do."""
    said = "preprocessor_config.json"
    usual = PROCESSORS.get(_processor(config), {})
    config = usual | {k: v for k, v in config.items() if v is not None}
    for step in ("do_resize", "do_rescale", "do_normalize"):
        if not config.get(step, True):
            raise ConfigError(f"{said} has {step}=false, which is not supported")
    factor = config.get("rescale_factor", SCALE)
    refuse_unless(
        abs(factor - SCALE) < 1e-6,
        f"{said} has rescale_factor={factor}; expected 1/255",
    )
    names = {number: name for name, number in RESAMPLE.items()}
    crops, size = _crop_and_size(config, said)
    return {
        "image_size": size,
        "resize": "shortest_floor" if crops else "squash",
        "interpolation": translated(names, config.get("resample"), f"{said}: resample"),
        "mean": _channels(config, "image_mean", said),
        "std": _channels(config, "image_std", said),
    }


def _processor(config: Settings) -> str:
    """A key of PROCESSORS, or what else makes the pictures."""
    given = config.get("image_processor_type") or config.get("feature_extractor_type")
    return re.sub("(ImageProcessor|FeatureExtractor)(Fast|Pil)?$", "", given or "")


def _crop_and_size(config: Settings, said: str) -> tuple[bool, int]:
    """Whether the centre is cut out, and the pixels of the square that is left."""
    size, crop = config.get("size"), config.get("crop_size")
    if _processor(config) == "Vilt" or "size_divisor" in config:
        # It keeps proportions; a square of its shorter side is as good as it gets here.
        size = size if isinstance(size, int) else size["shortest_edge"]
        return False, size
    if isinstance(size, int):
        square = _processor(config) == "ViT"  # of all alone
        names = ("height", "width") if square else ("shortest_edge",)
        size = dict.fromkeys(names, size)
    crop = dict.fromkeys(("height", "width"), crop) if isinstance(crop, int) else crop
    size, crop = size or {}, crop or {}
    crops = bool(config.get("do_center_crop", crop))
    numbers = {v for v in (*size.values(), *(crop.values() if crops else ())) if v}
    if len(numbers) != 1 or ("shortest_edge" in size) != crops:
        raise ConfigError(
            f"{said} has size={size}, crop_size={crop if crops else None}; expected "
            "the shortest edge with a square crop of the same size, or height = width "
            "without a crop"
        )
    return crops, numbers.pop()


def write_open_clip(preprocessing: Settings) -> Settings:
    """preprocess_cfg of open_clip_config.json."""
    return {
        "size": [preprocessing["image_size"]] * 2,
        "mode": "RGB",
        "mean": list(preprocessing["mean"]),
        "std": list(preprocessing["std"]),
        "interpolation": _same("interpolation", preprocessing),
        "resize_mode": translated(RESIZE_MODES, preprocessing["resize"], "resize"),
    }


@said_by("preprocess_cfg of open_clip_config.json")
def read_open_clip(config: Settings, image_size: int) -> Settings:
    """image_size: of the model's config, which open_clip asks first."""
    said = "preprocess_cfg"
    check_known(said, config)
    given = OPEN_CLIP | {k: v for k, v in config.items() if v is not None}
    _same("mode", given)
    return {
        "image_size": image_size,
        "resize": _same("resize_mode", given),
        "interpolation": _same("interpolation", given),
        "mean": _channels(given, "mean", said),
        "std": _channels(given, "std", said),
    }


def _same(key: str, settings: Settings) -> str:
    return translated({name: name for name in SAME[key]}, settings[key], key)


def _channels(config: Settings, key: str, said: str) -> tuple[float, ...]:
    """The numbers of the three channels."""
    found = config.get(key)
    right = isinstance(found, list | tuple) and len(found) == 3
    refuse_unless(right, f"{said} has {key}={found}; expected three numbers")
    return tuple(found)

"""How pictures are prepared, in transformers' words and in open_clip's.

transformers has no name for OpenAI's resize with the rounding of torchvision, but does
the same: the shortest edge, then the centre.
"""

from vlp_jax.core.errors import ConfigError
from vlp_jax.porting.description import Settings, translated

RESAMPLE = {"bicubic": 3, "bilinear": 2}  # as Pillow numbers them
RESIZES = {"shortest": "shortest", "squash": "squash"}


def write_hf(preprocessing: Settings) -> Settings:
    """preprocessor_config.json."""
    size = preprocessing["image_size"]
    square = {"height": size, "width": size}
    common = {
        "do_resize": True,
        "resample": translated(RESAMPLE, preprocessing["interpolation"], "resampling"),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocessing["mean"]),
        "image_std": list(preprocessing["std"]),
        "do_convert_rgb": True,
    }
    if preprocessing["resize"] == "squash":
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


def read_hf(config: Settings) -> Settings:
    """Our preprocessing; ConfigError for what it cannot do."""
    said = "preprocessor_config.json"
    for step in ("do_resize", "do_rescale", "do_normalize"):
        if not config.get(step, True):
            raise ConfigError(f"{said} has {step}=false, which is not supported")
    size, crop = config.get("size"), config.get("crop_size")
    size = {"shortest_edge": size} if isinstance(size, int) else size or {}
    crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop or {}
    crops = config.get("do_center_crop", bool(crop))
    numbers = {v for v in (*size.values(), *(crop.values() if crops else ())) if v}
    if len(numbers) != 1 or ("shortest_edge" in size) != bool(crops):
        raise ConfigError(
            f"{said} has size={size}, crop_size={crop if crops else None}; expected "
            "the shortest edge with a square crop of the same size, or height = width "
            "without a crop"
        )
    names = {number: name for name, number in RESAMPLE.items()}
    return {
        "image_size": numbers.pop(),
        "resize": "shortest" if crops else "squash",
        "interpolation": translated(names, config.get("resample", 3), "resample"),
        "mean": tuple(config["image_mean"]),
        "std": tuple(config["image_std"]),
    }


def write_open_clip(preprocessing: Settings) -> Settings:
    """preprocess_cfg of open_clip_config.json."""
    return {
        "size": [preprocessing["image_size"]] * 2,
        "mode": "RGB",
        "mean": list(preprocessing["mean"]),
        "std": list(preprocessing["std"]),
        "interpolation": preprocessing["interpolation"],
        "resize_mode": translated(RESIZES, preprocessing["resize"], "resize"),
    }


def read_open_clip(config: Settings, image_size: int) -> Settings:
    """image_size: of the model's config, which open_clip asks first."""
    return {
        "image_size": image_size,
        "resize": translated(
            RESIZES, config.get("resize_mode", "shortest"), "resize_mode"
        ),
        "interpolation": config.get("interpolation", "bicubic"),
        "mean": tuple(config.get("mean", (0.48145466, 0.4578275, 0.40821073))),
        "std": tuple(config.get("std", (0.26862954, 0.26130258, 0.27577711))),
    }

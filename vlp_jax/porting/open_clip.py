"""The folder that open_clip loads as local-dir:, or that its hub repositories hold."""

from pathlib import Path

from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import (
    open_clip_clip,
    open_clip_coca,
    open_clip_resnet,
    open_clip_siglip,
    pictures,
)
from vlp_jax.porting.description import (
    Description,
    Family,
    Settings,
    Tokens,
    family_of,
    translated,
)
from vlp_jax.porting.files import (
    read_json,
    read_safetensors,
    write_json,
    write_safetensors,
)
from vlp_jax.porting.weights import Arrays, to_ours, to_theirs

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"

# Which of them a config describes, _family says.
FAMILIES = {
    "clip": open_clip_clip.FAMILY,
    "resnet": open_clip_resnet.FAMILY,
    "siglip": open_clip_siglip.FAMILY,
    "coca": open_clip_coca.FAMILY,
}

# What open_clip's classes take where a config says nothing.
VISION = {"layers": 12, "width": 768, "patch_size": 16, "image_size": 224}
TEXT = {
    "layers": 12,
    "width": 512,
    "heads": 8,
    "context_length": 77,
    "vocab_size": 49408,
    "eos_id": 2,
}
# How it cleans texts before its tokenizer sees them, and that canonicalisation here.
CLEAN = {"whitespace": "open_clip", "lower": "clip", "canonicalize": "siglip"}


def check(description: Description) -> None:
    """ConfigError for what open_clip cannot express, before anything is written."""
    family_of(FAMILIES, description.model, "open_clip").write(description)


def write(folder: Path, description: Description, parameters: Arrays) -> None:
    """Everything but the tokenizer; `folder` is there and empty."""
    family = family_of(FAMILIES, description.model, "open_clip")
    config = {
        "model_cfg": family.write(description),
        "preprocess_cfg": pictures.write_open_clip(description.preprocessing),
    }
    weights = to_theirs(family.rules(description.model), parameters)
    write_json(folder / CONFIG, config)
    write_safetensors(folder / WEIGHTS, weights)


def read(folder: Path) -> tuple[Settings, Settings, Arrays]:
    """(our model settings, our preprocessing, {our path: array}) of a folder."""
    config = _whole_config(folder)
    family = _family(config)
    model = family.read(config["model_cfg"])
    weights = read_safetensors(folder, WEIGHTS)
    size = config["model_cfg"]["vision_cfg"]["image_size"]
    if isinstance(size, list) and len(set(size)) > 1:
        raise ConfigError(f"{folder / CONFIG}: image_size is {size}; expected a square")
    size = size[0] if isinstance(size, list) else size
    preprocessing = pictures.read_open_clip(config.get("preprocess_cfg") or {}, size)
    parameters = to_ours(family.rules(model), weights, family.ignored)
    return model, preprocessing, parameters


def tokens(folder: Path) -> Tokens:
    """Of the tokenizer that belongs to a folder; it cleans whatever that says."""
    text = _whole_config(folder)["model_cfg"]["text_cfg"]
    usual = "whitespace" if text.get("hf_tokenizer_name") else "lower"
    given = {"clean": usual} | (text.get("tokenizer_kwargs") or {})
    return Tokens(
        vocab_size=text["vocab_size"],
        length=text["context_length"],
        eos_id=text["eos_id"] if text.get("pool_type") == "eos" else None,
        canonicalise=translated(CLEAN, given["clean"], "clean of tokenizer_kwargs"),
    )


def _whole_config(folder: Path) -> Settings:
    config = read_json(folder / CONFIG)
    model = config.get("model_cfg")
    if not isinstance(model, dict) or not {"vision_cfg", "text_cfg"} <= model.keys():
        raise ConfigError(
            f"{folder / CONFIG} has no model_cfg with vision_cfg and text_cfg"
        )
    vision, text = VISION | model["vision_cfg"], TEXT | model["text_cfg"]
    return config | {"model_cfg": model | {"vision_cfg": vision, "text_cfg": text}}


def _family(config: Settings) -> Family:
    """timm's towers are SigLIP's, as far as they are known; stages are a ResNet's."""
    if config["model_cfg"].get("multimodal_cfg"):
        return FAMILIES["coca"]
    vision = config["model_cfg"]["vision_cfg"]
    if vision.get("timm_model_name"):
        return FAMILIES["siglip"]
    return FAMILIES["resnet" if isinstance(vision["layers"], list) else "clip"]

"""The folder that transformers' from_pretrained loads."""

import shutil
from pathlib import Path

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.porting import (
    hf_blip,
    hf_clip,
    hf_dual_encoder,
    hf_encoder_decoder,
    hf_own_class,
    hf_siglip,
    hf_text_towers,
    hf_vilt,
    pictures,
)
from vlp_jax.porting.description import (
    Description,
    Settings,
    Tokens,
    family_of,
)
from vlp_jax.porting.files import (
    read_json,
    read_safetensors,
    write_json,
    write_safetensors,
)
from vlp_jax.porting.weights import Arrays, to_ours, to_theirs

CONFIG, PICTURES = "config.json", "preprocessor_config.json"
PROCESSOR = "processor_config.json"  # of transformers 5: all of them in one file
WEIGHTS, GENERATION = "model.safetensors", "generation_config.json"

# By the model_type of a config.json; of dual encoders with those of their towers.
FAMILIES = {
    "clip": hf_clip.FAMILY,
    "siglip": hf_siglip.FAMILY,
    **hf_dual_encoder.FAMILIES,
    **hf_own_class.FAMILIES,
    "vilt": hf_vilt.FAMILY,
    "blip": hf_blip.FAMILY,
    **hf_encoder_decoder.FAMILIES,
}
DUAL = (hf_dual_encoder.MODEL_TYPE, hf_own_class.MODEL_TYPE)
# What the config of a tower is called, by the name that the parts of a CLIP have.
PARTS = {"vision": ("vision_config", "encoder"), "text": ("text_config", "decoder")}


def check(description: Description) -> None:
    """ConfigError for what transformers cannot express, before anything is written."""
    family_of(FAMILIES, description.model, "transformers").write(description)


def write(folder: Path, description: Description, parameters: Arrays) -> None:
    """Everything but the tokenizer; `folder` is there and empty."""
    family = family_of(FAMILIES, description.model, "transformers")
    weights = to_theirs(family.rules(description.model), parameters)
    config = family.write(description)
    write_json(folder / CONFIG, config | {"dtype": "float32"})
    if "decoder_start_token_id" in config:  # it writes, and does so by this file
        ids = {key: x for key, x in config.items() if key.endswith("_token_id")}
        longest = {"max_length": description.tokens.length}
        write_json(folder / GENERATION, ids | longest)
    if "auto_map" in config:
        shutil.copy(hf_own_class.CODE, folder)
    write_json(folder / PICTURES, pictures.write_hf(description.preprocessing))
    write_safetensors(folder / WEIGHTS, weights)


def read(folder: Path) -> tuple[Settings, Settings, Arrays]:
    """(our model settings, our preprocessing, {our path: array}) of a folder."""
    config = _whole_config(folder)
    family = FAMILIES[_kind(config)]
    model = family.read(config)
    weights = read_safetensors(folder, WEIGHTS)
    old = {new: weights[key] for key, new in family.renamed.items() if key in weights}
    weights = old | {k: x for k, x in weights.items() if k not in family.renamed}
    parameters = to_ours(family.rules(model), weights, family.ignored)
    preprocessing = pictures.read_hf(_pictures(folder))
    expected = _part(config, "vision").get("image_size")  # a ResNet has none
    if expected not in (None, preprocessing["image_size"]):
        raise ConfigError(
            f"{folder}: {PICTURES} makes pictures of {preprocessing['image_size']} "
            f"pixels and {CONFIG} expects {expected}; they belong to other models"
        )
    return model, preprocessing, parameters


def tokens(folder: Path) -> Tokens:
    """Of the tokenizer that belongs to a folder."""
    config = _whole_config(folder)
    text = _part(config, "text")
    rows = text.get("max_position_embeddings") or text["n_positions"]  # GPT-2's
    family = FAMILIES[_kind(config)]
    ours = family.read(config)
    by_id = ours.get("text", {}).get("pool") == "first_eos"
    return Tokens(
        vocab_size=text["vocab_size"] - family.own_tokens,
        length=rows - hf_text_towers.first_position(text),
        eos_id=text["eos_token_id"] if by_id else None,
        canonicalise=None,
        start_id=config.get("decoder_start_token_id"),
    )


def class_of(folder: Path) -> str:
    """The class by which transformers loads a folder with everything that it has."""
    config = read_json(folder / CONFIG)
    named = (config.get("architectures") or ["nothing"])[0]
    family = FAMILIES.get(_kind(config))
    return named if family and named in family.classes else "AutoModel"


def _part(config: Settings, name: str) -> Settings:
    """The config of a tower; of a model of one tower the whole."""
    return next((config[key] for key in PARTS[name] if key in config), config)


def _pictures(folder: Path) -> Settings:
    """How pictures are prepared, from the file that transformers asks first."""
    whole = folder / PROCESSOR
    found = read_json(whole).get("image_processor") if whole.is_file() else None
    return found if isinstance(found, dict) else read_json(folder / PICTURES)


def _whole_config(folder: Path) -> Settings:
    """config.json with transformers' defaults for what it leaves out."""
    from transformers import AutoConfig

    given = read_json(folder / CONFIG)
    lookup(FAMILIES, _kind(given), f"model_type in {folder / CONFIG}")
    try:
        if given["model_type"] != hf_own_class.MODEL_TYPE:
            return AutoConfig.for_model(**given).to_dict()
        towers = ("vision_config", "text_config")  # no code is needed to know them
        whole = {key: AutoConfig.for_model(**given[key]).to_dict() for key in towers}
        return given | whole
    except Exception as error:  # what checks it raises errors of several packages
        said = " ".join(str(error).split())[:200]
        raise ConfigError(f"{folder / CONFIG} is not valid: {said}") from None


def _kind(config: Settings) -> str:
    """A key of FAMILIES, or what stands in its place."""
    kind = config.get("model_type", "")
    if kind == hf_encoder_decoder.MODEL_TYPE:
        towers = [config.get(name) for name in ("encoder", "decoder")]
    elif kind in DUAL:
        towers = [config.get(f"{name}_config") for name in ("vision", "text")]
    else:
        return kind
    names = (
        tower.get("model_type", "nothing") if isinstance(tower, dict) else "nothing"
        for tower in towers
    )
    return f"{kind} of {' + '.join(names)}"

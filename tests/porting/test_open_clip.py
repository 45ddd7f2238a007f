"""Folders of open_clip: what is written is read back the same, and spoilt ones not."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.porting.tiny_models import (
    assert_refused,
    assert_same_bits,
    change_json,
    clip,
    description,
    preprocessing,
    save,
    short,
    tokenizer,
)
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import hf, open_clip
from vlp_jax.porting.description import Tokens
from vlp_jax.porting.files import read_json, write_json

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """(our settings, our parameters) of a tiny CLIP."""
    found, _, parameters = hf.read(save(clip(), tmp_path_factory.mktemp("clip")))
    return found, parameters


@pytest.fixture
def folder(model, tmp_path):
    """What is written of it."""
    given = description(model[0], "clip")
    open_clip.check(given)
    open_clip.write(tmp_path, given, model[1])
    return tmp_path


def test_it_comes_back(model, folder):
    settings, pictures, parameters = open_clip.read(folder)
    assert_same_bits(parameters, model[1])
    assert settings["image"] == model[0]["image"]
    assert settings["text"] == model[0]["text"]
    assert pictures == preprocessing("clip") | {"resize": "shortest"}
    expected = Tokens(tokenizer().vocab_size, 16, 3, canonicalise="open_clip")
    assert open_clip.tokens(folder) == expected


def test_half_precision(model, folder):
    weights = load_file(folder / WEIGHTS)
    save_file({k: v.astype(np.float16) for k, v in weights.items()}, folder / WEIGHTS)
    _, _, found = open_clip.read(folder)
    expected = {k: v.astype(np.float16).astype(np.float32) for k, v in model[1].items()}
    assert_same_bits(found, expected)


def test_a_config_may_leave_out_what_is_usual(folder):
    """open_clip's own defaults are then meant."""
    change_json(
        folder / CONFIG,
        preprocess_cfg=None,
        model_cfg__text_cfg__pool_type=None,
        model_cfg__text_cfg__context_length=None,
    )
    assert open_clip.tokens(folder).length == 77
    settings, pictures, _ = open_clip.read(folder)
    assert settings["text"]["pool"] == "largest_id"
    assert pictures["interpolation"] == "bicubic" and pictures["image_size"] == 12
    assert open_clip.tokens(folder).eos_id is None


def test_nothing_said_of_pictures(folder):
    content = read_json(folder / CONFIG) | {"preprocess_cfg": None}
    write_json(folder / CONFIG, content)
    assert open_clip.read(folder)[1]["interpolation"] == "bicubic"


def test_how_texts_are_cleaned_first(folder):
    """Before a tokenizer of Hugging Face, and before open_clip's own."""
    assert open_clip.tokens(folder).canonicalise == "open_clip"
    change_json(folder / CONFIG, model_cfg__text_cfg__tokenizer_kwargs=None)
    assert open_clip.tokens(folder).canonicalise == "open_clip"
    change_json(folder / CONFIG, model_cfg__text_cfg__hf_tokenizer_name=None)
    assert open_clip.tokens(folder).canonicalise == "clip"
    change_json(
        folder / CONFIG, model_cfg__text_cfg__tokenizer_kwargs={"clean": "canonicalize"}
    )
    assert open_clip.tokens(folder).canonicalise == "siglip"
    change_json(
        folder / CONFIG, model_cfg__text_cfg__tokenizer_kwargs={"clean": "none"}
    )
    with pytest.raises(ConfigError, match="clean of tokenizer_kwargs is 'none'"):
        open_clip.tokens(folder)


def refused(folder, *said):
    assert_refused(lambda: open_clip.read(folder), *said)


def test_keys_that_are_not_those_of_the_model(folder):
    weights = load_file(folder / WEIGHTS)
    save_file(weights | {"visual.extra": np.zeros(1)}, folder / WEIGHTS)
    refused(folder, "1 unexpected: visual.extra")
    del weights["ln_final.bias"]
    save_file(weights, folder / WEIGHTS)
    refused(folder, "1 missing: ln_final.bias")


def test_a_pickle_alone(folder):
    (folder / WEIGHTS).rename(folder / "open_clip_pytorch_model.bin")
    refused(folder, "open_clip_pytorch_model.bin, a pickle", WEIGHTS)


@pytest.mark.parametrize("part", ["model_cfg", "vision_cfg", "text_cfg"])
def test_a_config_without_a_part(folder, part):
    name = part if part == "model_cfg" else f"model_cfg__{part}"
    change_json(folder / CONFIG, **{name: None})
    refused(folder, CONFIG, "no model_cfg with vision_cfg and text_cfg")


def test_pictures_that_are_no_squares(folder):
    change_json(folder / CONFIG, model_cfg__vision_cfg__image_size=[12, 16])
    refused(folder, "image_size is [12, 16]; expected a square")
    change_json(folder / CONFIG, model_cfg__vision_cfg__image_size=[12, 12])
    assert open_clip.read(folder)[1]["image_size"] == 12


def test_towers_that_it_has_not(model):
    settings = model[0] | {"image": model[0]["image"] | {"kind": "unknown"}}
    with pytest.raises(ConfigError, match="no place for the towers unknown with") as e:
        open_clip.check(description(settings, "clip"))
    assert short(e)

"""open_clip's SigLIP: weights come back to the bit, sizes are those that timm has."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.porting.random_models import random_model
from tests.porting.tiny_models import (
    assert_refused,
    assert_same_bits,
    change_json,
    description,
    preprocessing,
    short,
)
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import open_clip, open_clip_siglip
from vlp_jax.porting.files import read_json, write_json, write_safetensors
from vlp_jax.porting.weights import to_ours, to_theirs

IMAGE = dict(kind="siglip_vit", width=24, depth=2, heads=3, patch_size=8)
TEXT = dict(kind="siglip_text", width=16, depth=2, heads=2, causal=False, pool="last")
WHOLE = dict(project_image=False, text_projection_bias=True, logit_bias_init=-10.0)
NAME = "vit_base_patch16_siglip_224"


def published(name: str = NAME, **changes) -> dict:
    """Our settings of a SigLIP with a tower of timm; changes: 'image__width', ..."""
    size, patch, _ = open_clip_siglip.NAME.fullmatch(name).groups()
    width, depth, heads, ratio = open_clip_siglip.SIZES[size]
    image = dict(kind="siglip_vit", width=width, depth=depth, heads=heads)
    image |= dict(patch_size=int(patch), activation=open_clip_siglip.TOWERS[name])
    image |= dict(mlp_ratio=int(width * ratio) / width, norm_epsilon=1e-6)
    text = TEXT | dict(mlp_ratio=4.0, activation="gelu", norm_epsilon=1e-6)
    found = {"image": image, "text": text, "embedding_size": width, **WHOLE}
    for change, value in changes.items():
        *sections, key = change.split("__")
        (found[sections[0]] if sections else found)[key] = value
    return found


def described(model: dict, pixels: int):
    given = description(model, "siglip")
    pictures = given.preprocessing | {"image_size": pixels}
    return dataclasses.replace(given, preprocessing=pictures)


def written(model: dict, pixels: int = 224) -> dict:
    """model_cfg, with the defaults that open_clip has."""
    found = open_clip_siglip.write(described(model, pixels))
    return found | {"text_cfg": open_clip.TEXT | found["text_cfg"]}


@pytest.fixture(scope="module")
def tiny():
    return random_model(IMAGE, TEXT, embedding_size=24, **WHOLE)


def test_weights_go_and_come_back_to_the_bit(tiny):
    ours, rules = tiny.parameters, open_clip_siglip.rules(tiny.description.model)
    theirs = to_theirs(rules, ours)
    assert_same_bits(to_ours(rules, theirs, open_clip_siglip.FAMILY.ignored), ours)
    trunk = "visual.trunk"
    assert theirs[f"{trunk}.blocks.1.attn.qkv.weight"].shape == (72, 24)
    assert theirs[f"{trunk}.attn_pool.kv.bias"].shape == (48,)
    assert theirs[f"{trunk}.attn_pool.latent"].shape == (1, 1, 24)
    assert theirs[f"{trunk}.pos_embed"].shape == (1, 16, 24)
    assert theirs["text.text_projection.weight"].shape == (24, 16)
    others = {k for k in theirs if k.split(".")[0] not in ("visual", "text")}
    assert others == {"logit_scale", "logit_bias"}


@pytest.mark.parametrize("name", open_clip_siglip.TOWERS)
def test_settings_go_and_come_back(name):
    model = published(name)
    config = written(model, int(name.rpartition("_")[2]))
    found = open_clip_siglip.read(config)
    assert found == model | {"logit_scale_init": found["logit_scale_init"]}
    assert config["vision_cfg"]["timm_model_name"] == name
    assert config["custom_text"] and config["init_logit_bias"] == -10


def test_a_text_tower_with_another_activation():
    for name in ("quick_gelu", "gelu_tanh"):
        model = published(text__activation=name)
        found = open_clip_siglip.read(written(model))
        assert found["text"] == model["text"] and found["image"] == model["image"]


# Changes of our settings, and what is said.
UNSAID = {
    "a width that timm lacks": (dict(image__width=24), "timm, which open_clip takes"),
    "an activation": (dict(image__activation="gelu_tanh"), "Export to hf: instead"),
    "an epsilon": (dict(image__norm_epsilon=1e-5), "Export to hf: instead"),
    "a projection": (dict(project_image=True), "no image projection"),
    "no bias": (dict(logit_bias_init=None), "has a logit_bias"),
    "padding": (dict(text__pool="first_eos"), "sees padding where it is not causal"),
}


def test_timm_fixes_the_pixels_too():
    with pytest.raises(ConfigError, match=r"1e-06, 32\). Export to hf: instead"):
        written(published(), 32)


@pytest.mark.parametrize("case", UNSAID)
def test_what_it_cannot_say_is_refused(case):
    changes, said = UNSAID[case]
    with pytest.raises(ConfigError) as error:
        written(published(**changes))
    assert said in str(error.value) and short(error)


# ---- the folder, with a tower that is not as wide as timm's


@pytest.fixture
def folder(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(open_clip_siglip.SIZES, "tiny", (24, 2, 3, 4.0))
    monkeypatch.setitem(open_clip_siglip.TOWERS, "vit_tiny_patch8_siglip_32", "gelu")
    config = written(published("vit_tiny_patch8_siglip_32"), 32)
    pictures = open_clip.pictures.write_open_clip(preprocessing("siglip"))
    whole = {"model_cfg": config, "preprocess_cfg": pictures}
    write_json(tmp_path / open_clip.CONFIG, whole)
    weights = to_theirs(open_clip_siglip.rules(tiny.description.model), tiny.parameters)
    write_safetensors(tmp_path / open_clip.WEIGHTS, weights)
    return tmp_path


def refused(folder, *said):
    assert_refused(lambda: open_clip.read(folder), *said)


def test_the_folder_comes_back(tiny, folder):
    model, pictures, parameters = open_clip.read(folder)
    assert_same_bits(parameters, tiny.parameters)
    assert model["image"]["kind"] == "siglip_vit" and model["embedding_size"] == 24
    assert pictures == preprocessing("siglip") | {"image_size": 32}


def test_keys_that_are_not_those_of_the_model(folder):
    path = folder / open_clip.WEIGHTS
    weights = load_file(path)
    save_file(weights | {"visual.trunk.cls_token": np.zeros((1, 1, 24))}, path)
    refused(folder, "1 unexpected: visual.trunk.cls_token")
    save_file({k: v for k, v in weights.items() if k != "logit_bias"}, path)
    refused(folder, "1 missing: logit_bias")


UNKNOWN = {
    "another tower": (
        dict(vision_cfg__timm_model_name="vit_base_patch16_clip_224"),
        "the image tower is timm's 'vit_base_patch16_clip_224'",
    ),
    "other pixels": (dict(vision_cfg__image_size=48), "image_size=48; expected 32"),
    "another pooling": (dict(vision_cfg__timm_pool="avg"), "with timm_pool=map"),
    "a projection": (dict(vision_cfg__timm_proj="linear"), "with timm_pool=map"),
    "layer scales": (dict(text_cfg__ls_init_value=1e-5), "text_cfg of open_clip_conf"),
    "another text tower": (dict(text_cfg__hf_model_name="mt5"), "sets hf_model_name"),
    "no projection of texts": (dict(text_cfg__proj_type="none"), "proj_type='none'"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_we_lack_is_refused(folder, case):
    changes, said = UNKNOWN[case]
    path = folder / open_clip.CONFIG
    change_json(path, **{f"model_cfg__{key}": value for key, value in changes.items()})
    refused(folder, said)
    assert read_json(path)["model_cfg"]["custom_text"]

"""Settings of open_clip that are not read are refused; its defaults change nothing."""

import pytest

from tests.porting.tiny_models import short
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import open_clip, open_clip_clip, pictures
from vlp_jax.porting.open_clip_settings import KNOWN, WITHOUT_EFFECT, check_known

USUAL = {
    "embed_dim": 512,
    "vision_cfg": open_clip.VISION,
    "text_cfg": open_clip.TEXT | {"hf_tokenizer_name": "there"},
}
# What open_clip 3.3.0 puts in these sections where nothing is said, if not false.
DEFAULTS = {
    "vision_cfg": dict(
        head_width=64,
        mlp_ratio=4.0,
        attn_pooler_queries=256,
        attn_pooler_heads=8,
        pos_embed_type="learnable",
        pool_type="tok",
        timm_pool="avg",
        timm_proj="linear",
    ),
    "text_cfg": dict(
        mlp_ratio=4.0,
        eos_id=2,
        pool_type="argmax",
        proj_type="linear",
        hf_model_pretrained=True,
        hf_proj_type="mlp",
        hf_pooler_type="mean_pooler",
    ),
}
OFF = dict(ls_init_value=None, qk_norm=False, scale_attn=False, block_type=None)


def changed(section: str, **settings) -> dict:
    return USUAL | {section: USUAL[section] | settings}


@pytest.mark.parametrize("section", DEFAULTS)
def test_defaults_change_nothing(section):
    expected = open_clip_clip.read(USUAL)
    whole = changed(section, **DEFAULTS[section], **OFF)
    assert open_clip_clip.read(whole) == expected
    trained = changed(section, output_tokens=True)
    assert open_clip_clip.read(trained) == expected


REFUSED = {
    "a switch that nobody knows": ("text_cfg", {"rotary": True}, "sets rotary,"),
    "two": ("vision_cfg", {"no_ln_pre": True, "scale_fc": 1}, "no_ln_pre, scale_fc,"),
    "no projection": ("text_cfg", {"proj_type": "none"}, "proj_type='none'"),
    "another tokenization": ("text_cfg", {"tokenizer_mode": "clips"}, "tokenizer_mode"),
    "norms": ("text_cfg", {"norm_kwargs": {"bias": 1}}, "norm_kwargs of open_clip_con"),
    "separators": (
        "text_cfg",
        {"tokenizer_kwargs": {"strip_sep_token": True}},
        "tokenizer_kwargs of open_clip_config.json sets strip_sep_token",
    ),
    "padding that is seen": (
        "text_cfg",
        {"no_causal_mask": True},
        "sees padding where it is not causal, and ours does not (pool='largest_id')",
    ),
    "the same at the end token": (
        "text_cfg",
        {"no_causal_mask": True, "pool_type": "eos"},
        "(pool='first_eos')",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_we_do_not_read_is_refused(case):
    section, settings, said = REFUSED[case]
    with pytest.raises(ConfigError) as error:
        open_clip_clip.read(changed(section, **settings))
    assert said in str(error.value) and short(error)


def test_of_the_whole_model():
    with pytest.raises(ConfigError, match="model_cfg of .* sets nonscalar_logit_scale"):
        check_known("model_cfg", USUAL | {"nonscalar_logit_scale": True})


def test_of_pictures():
    given = {"size": 96, "mode": "RGB", "fill_color": 7, "mean": None}
    assert pictures.read_open_clip(given, 96) == pictures.read_open_clip({}, 96)
    with pytest.raises(ConfigError, match="mode is 'BGR'"):
        pictures.read_open_clip({"mode": "BGR"}, 96)
    with pytest.raises(ConfigError, match="preprocess_cfg .* sets gamma,"):
        pictures.read_open_clip({"gamma": 2.2}, 96)


def test_nothing_is_read_and_without_effect_at_once():
    for section, names in WITHOUT_EFFECT.items():
        assert not names & KNOWN[section]

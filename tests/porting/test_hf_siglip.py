"""transformers' SigLIP becomes ours and is itself again, weights and settings."""

import pytest

from tests.porting.tiny_models import (
    arrays_of,
    assert_same_bits,
    description,
    short,
    siglip,
)
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import hf_siglip
from vlp_jax.porting.weights import to_ours, to_theirs

# Settings of the vision and of the text config.
SHAPES = {
    "usual": ({}, {}),
    "other ratios, epsilons and heads": (
        dict(intermediate_size=62, layer_norm_eps=1e-3, num_attention_heads=4),
        dict(intermediate_size=40, layer_norm_eps=1e-5, num_attention_heads=4),
    ),
    "one activation each, other depths": (
        dict(hidden_act="gelu", num_hidden_layers=1),
        dict(hidden_act="quick_gelu", num_hidden_layers=3),
    ),
}


def both(case: str):
    """(SiglipModel, its whole config, our model settings)."""
    model = siglip(*SHAPES[case])
    config = model.config.to_dict()
    return model, config, hf_siglip.read(config)


@pytest.mark.parametrize("case", SHAPES)
def test_weights_go_and_come_back_to_the_bit(case):
    model, _, settings = both(case)
    rules, theirs = hf_siglip.rules(settings), arrays_of(model)
    ours = to_ours(rules, theirs, hf_siglip.FAMILY.ignored)
    assert ours["logit_bias"].shape == () and theirs["logit_bias"].shape == (1,)
    assert_same_bits(to_theirs(rules, ours), theirs)


@pytest.mark.parametrize("case", SHAPES)
def test_settings_go_and_come_back(case):
    """What our config leaves out is what transformers takes by default."""
    from transformers import SiglipConfig

    _, config, settings = both(case)
    written = hf_siglip.write(description(settings, "siglip"))
    known = SiglipConfig(**written).to_dict()
    assert hf_siglip.read(known) == settings
    for tower in ("vision_config", "text_config"):
        named = {k: v for k, v in config[tower].items() if v != known[tower].get(k)}
        assert named == {}, tower


def test_a_run_that_goes_on_starts_where_siglip_started():
    found = both("usual")[2]
    assert found["logit_bias_init"] == -10
    assert abs(found["logit_scale_init"] - 2.302585) < 1e-6


# Changes of our settings (section or None, settings), and what is said.
REFUSED = {
    "no bias of the logits": (None, {"logit_bias_init": None}, "has a logit_bias"),
    "image projection": (None, {"project_image": True}, "no image projection"),
    "no bias": (None, {"text_projection_bias": False}, "a bias in the text"),
    "first end": ("text", {"pool": "first_eos"}, "pool='first_eos', causal=False"),
    "causal text": ("text", {"causal": True}, "pool='last', causal=True"),
    "activation": ("text", {"activation": "relu"}, "activation is 'relu'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_say_is_refused(case):
    section, changes, said = REFUSED[case]
    settings = both("usual")[2]
    (settings[section] if section else settings).update(changes)
    with pytest.raises(ConfigError) as error:
        hf_siglip.write(description(settings, "siglip"))
    assert said in str(error.value) and short(error)


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("vision_config", "vision_use_head", False, "no pooling head"),
        ("vision_config", "hidden_act", "relu", "hidden_act is 'relu'"),
    ],
)
def test_what_we_lack_is_refused(section, key, value, said):
    config = both("usual")[1]
    config[section][key] = value
    with pytest.raises(ConfigError, match=said) as error:
        hf_siglip.read(config)
    assert short(error)

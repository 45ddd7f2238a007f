"""transformers' CLIP becomes ours and is itself again, weights and settings."""

import pytest

from tests.porting.tiny_models import (
    arrays_of,
    assert_same_bits,
    clip,
    description,
    short,
)
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import hf_clip
from vlp_jax.porting.weights import to_ours, to_theirs

# Settings of the vision and of the text config.
SHAPES = {
    "usual": ({}, {}),
    "gelu, deeper": (
        dict(hidden_act="gelu", num_hidden_layers=3, num_attention_heads=4),
        dict(hidden_act="gelu", num_hidden_layers=1, num_attention_heads=4),
    ),
    "one activation each, other epsilons and ratios": (
        dict(hidden_act="gelu_pytorch_tanh", layer_norm_eps=1e-3, intermediate_size=62),
        dict(hidden_act="quick_gelu", layer_norm_eps=1e-6, intermediate_size=32),
    ),
    "largest id": ({}, dict(eos_token_id=2)),
}


def both(case: str):
    """(CLIPModel, its whole config, our model settings)."""
    model = clip(*SHAPES[case])
    config = model.config.to_dict()
    return model, config, hf_clip.read(config)


@pytest.mark.parametrize("case", SHAPES)
def test_weights_go_and_come_back_to_the_bit(case):
    model, _, settings = both(case)
    rules, theirs = hf_clip.rules(settings), arrays_of(model)
    ours = to_ours(rules, theirs, hf_clip.FAMILY.ignored)
    assert len(ours) == len(theirs)
    assert_same_bits(to_theirs(rules, ours), theirs)


@pytest.mark.parametrize("case", SHAPES)
def test_settings_go_and_come_back(case):
    """What our config leaves out is what transformers takes by default."""
    from transformers import CLIPConfig

    _, config, settings = both(case)
    written = hf_clip.write(description(settings, "clip"))
    assert hf_clip.read(CLIPConfig(**written).to_dict()) == settings
    for tower in ("vision_config", "text_config"):
        known = CLIPConfig(**written).to_dict()[tower]
        named = {k: v for k, v in config[tower].items() if v != known.get(k)}
        assert named == {}, tower


def test_the_two_ends_of_text():
    """The id 2 means the largest id, any other the first token of that id."""
    for case, pool, written in (
        ("usual", "first_eos", 3),
        ("largest id", "largest_id", 2),
    ):
        settings = both(case)[2]
        assert settings["text"]["pool"] == pool
        found = hf_clip.write(description(settings, "clip", eos_id=3))
        assert found["text_config"]["eos_token_id"] == written


def test_other_names_of_the_tanh_gelu_are_read():
    for name in ("gelu_pytorch_tanh", "gelu_new", "gelu_fast"):
        config = both("usual")[1]
        config["vision_config"]["hidden_act"] = name
        assert hf_clip.read(config)["image"]["activation"] == "gelu_tanh"


# Changes of our settings (section or None, settings), and what is said.
REFUSED = {
    "mean pooling": (
        "image",
        {"pool": "mean"},
        "model.image.pool is 'mean'; transformers' CLIP pools the class token",
    ),
    "no causal text": ("text", {"causal": False}, "causal text tower only"),
    "last position": ("text", {"pool": "last"}, "cannot pool at 'last'"),
    "activation": (
        "image",
        {"activation": "swish"},
        "activation is 'swish', which has no equal there (quick_gelu, gelu, gelu_tanh)",
    ),
    "bias of the logits": (None, {"logit_bias_init": -10.0}, "no logit_bias"),
    "no projection": (None, {"project_image": False}, "has both projections"),
    "bias of a projection": (None, {"text_projection_bias": True}, "no bias in them"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_say_is_refused(case):
    section, changes, said = REFUSED[case]
    settings = both("usual")[2]
    (settings[section] if section else settings).update(changes)
    with pytest.raises(ConfigError) as error:
        hf_clip.write(description(settings, "clip"))
    assert said in str(error.value) and short(error)


def test_the_first_end_of_text_cannot_be_2():
    """transformers would pool at the largest id instead."""
    settings = both("usual")[2]
    with pytest.raises(ConfigError, match="'first_eos' with the end token 2") as error:
        hf_clip.write(description(settings, "clip", eos_id=2))
    assert short(error)


def test_an_unknown_activation_is_refused():
    config = both("usual")[1]
    config["text_config"]["hidden_act"] = "relu"
    with pytest.raises(ConfigError, match="hidden_act is 'relu', which has no equal"):
        hf_clip.read(config)

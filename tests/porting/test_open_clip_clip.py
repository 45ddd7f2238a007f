"""open_clip's CLIP: a table that comes back to the bit, and settings in its words."""

import numpy as np
import pytest

from tests.porting.tiny_models import assert_same_bits, clip, description, short
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import hf_clip, open_clip, open_clip_clip
from vlp_jax.porting.weights import to_ours, to_theirs


def settings(**changes) -> dict:
    """Of a CLIP with GELU; changes of the model, or of a tower ('image__depth')."""
    found = hf_clip.read(clip(*[dict(hidden_act="gelu")] * 2).config.to_dict())
    for name, value in changes.items():
        *sections, key = name.split("__")
        place = found[sections[0]] if sections else found
        place[key] = value
    return found


def random(model: dict) -> dict[str, np.ndarray]:
    """Parameters of ours, of the shapes that transformers' model has."""
    shapes = to_ours(
        hf_clip.rules(model),
        {k: x.numpy() for k, x in clip().state_dict().items()},
    )
    return {k: np.asarray(v) for k, v in shapes.items()}


def written(model: dict) -> dict:
    """model_cfg, with the defaults that open_clip has."""
    found = open_clip_clip.write(description(model, "clip"))
    return found | {
        "vision_cfg": open_clip.VISION | found["vision_cfg"],
        "text_cfg": open_clip.TEXT | found["text_cfg"],
    }


def test_weights_go_and_come_back_to_the_bit():
    model = settings()
    ours, rules = random(model), open_clip_clip.rules(model)
    theirs = to_theirs(rules, ours)
    assert len(theirs) < len(ours)  # query, key and value are one
    assert_same_bits(to_ours(rules, theirs, open_clip_clip.FAMILY.ignored), ours)
    assert theirs["visual.proj"].shape == (24, 12)  # applied as x @ P
    assert theirs["text_projection"].shape == (16, 12)
    assert theirs["visual.conv1.weight"].shape == (24, 3, 4, 4)
    np.testing.assert_array_equal(
        theirs["visual.proj"], ours["image_projection/kernel"]
    )


def test_a_bias_of_logits_and_of_the_text_projection():
    model = settings(logit_bias_init=-10.0, text_projection_bias=True)
    ours = random(settings())
    ours |= {
        "logit_bias": np.array(-9, np.float32),
        "text_projection/bias": np.arange(12, dtype=np.float32),
    }
    theirs = to_theirs(open_clip_clip.rules(model), ours)
    assert theirs["text_projection.weight"].shape == (12, 16)  # a linear map now
    assert_same_bits(to_ours(open_clip_clip.rules(model), theirs), ours)


def test_buffers_of_old_files_hold_no_weights():
    model = settings()
    ours, rules = random(model), open_clip_clip.rules(model)
    old = to_theirs(rules, ours) | {
        "attn_mask": np.zeros((16, 16), np.float32),
        "input_resolution": np.array(12),
        "context_length": np.array(16),
        "vocab_size": np.array(280),
    }
    assert_same_bits(to_ours(rules, old, open_clip_clip.FAMILY.ignored), ours)


SETTINGS = {
    "usual": {},
    "quick gelu": dict(image__activation="quick_gelu", text__activation="quick_gelu"),
    "other ratios and epsilons": dict(
        image__mlp_ratio=62 / 24, text__mlp_ratio=2.0, image__norm_epsilon=1e-6
    ),
    "heads": dict(image__heads=4, text__heads=4),
    "largest id": dict(text__pool="largest_id"),
    "last position without a mask": dict(text__pool="last", text__causal=False),
    "biases": dict(logit_bias_init=-10.0, text_projection_bias=True),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_go_and_come_back(case):
    model = settings(**SETTINGS[case])
    found = open_clip_clip.read(written(model))
    for tower in ("image", "text"):
        assert found[tower] == model[tower] | found[tower]
        assert found[tower].keys() == model[tower].keys()
    for key in ("embedding_size", "logit_bias_init", "text_projection_bias"):
        assert found.get(key) == model.get(key), key


# Changes of our settings, and what is said.
REFUSED = {
    "quick gelu in one tower": (
        dict(image__activation="quick_gelu"),
        "in both towers or in none",
    ),
    "mean pooling": (dict(image__pool="mean"), "model.image.pool is 'mean'"),
    "no projection": (dict(project_image=False), "has an image projection"),
    "no causal text that is pooled at its end": (
        dict(text__causal=False),
        "sees padding where it is not causal",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_say_is_refused(case):
    changes, said = REFUSED[case]
    with pytest.raises(ConfigError) as error:
        open_clip_clip.write(description(settings(**changes), "clip"))
    assert said in str(error.value) and short(error)


UNKNOWN = {
    ("vision_cfg", "attentional_pool", True): "vision_cfg",
    ("vision_cfg", "ls_init_value", 1e-5): "ls_init_value",
    ("vision_cfg", "pool_type", "avg"): "pool_type='avg'",
    ("vision_cfg", "pos_embed_type", "sin_cos_2d"): "pos_embed_type='sin_cos_2d'",
    ("text_cfg", "hf_model_name", "roberta-base"): "hf_model_name",
    ("text_cfg", "embed_cls", True): "embed_cls",
    ("text_cfg", "pool_type", "first"): "pool_type of text_cfg is 'first'",
}


@pytest.mark.parametrize("change", UNKNOWN, ids=lambda change: change[1])
def test_what_we_lack_is_refused(change):
    section, key, value = change
    config = written(settings())
    config[section] = config[section] | {key: value}
    with pytest.raises(ConfigError) as error:
        open_clip_clip.read(config)
    assert UNKNOWN[change] in str(error.value) and short(error)


def test_another_gelu_is_refused():
    config = written(settings())
    config["vision_cfg"]["act_kwargs"] = {"approximate": "erf"}
    with pytest.raises(ConfigError, match="act_kwargs is 'erf'") as error:
        open_clip_clip.read(config)
    assert short(error)

"""transformers' text towers in our settings and back; what we lack is refused."""

import pytest
from transformers import BertConfig, GPT2Config, RobertaConfig

from tests.porting.random_models import VIT, random_model
from tests.porting.tiny_models import short
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting.hf_text_towers import TEXTS, first_position

CONFIGS = {"bert": BertConfig, "roberta": RobertaConfig, "gpt2": GPT2Config}
POOLS = {"bert": "pooler", "roberta": "pooler", "gpt2": "last_unmasked"}
BASE = dict(width=768, depth=12, heads=12, mlp_ratio=4)
PUBLISHED = {
    "bert": BASE
    | dict(activation="gelu", norm_epsilon=1e-12, token_types=2, first_position=0),
    "roberta": BASE
    | dict(activation="gelu", norm_epsilon=1e-12, token_types=2, first_position=2),
    "gpt2": BASE | dict(activation="gelu_tanh", norm_epsilon=1e-5),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_settings_of_published_towers(kind):
    """As transformers writes what is usual."""
    assert TEXTS[kind].read(CONFIGS[kind]().to_dict()) == PUBLISHED[kind]


def described(kind: str, **changes):
    size = dict(width=16, depth=2, heads=2, mlp_ratio=3.0)
    text = dict(kind=kind, pool=POOLS[kind], **size) | changes
    return random_model(VIT, text).description


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_settings_go_and_come_back(kind):
    given = described(kind, norm_epsilon=1e-3)
    tower = TEXTS[kind]
    config = CONFIGS[kind](**tower.write(given)).to_dict()
    found = tower.read(config)
    assert found.items() <= given.model["text"].items() and found["width"] == 16
    keys = [
        [rule.theirs for rule in tower.rules(x)] for x in (found, given.model["text"])
    ]
    assert keys[0] == keys[1]


def test_positions_behind_those_of_padding():
    assert first_position({"model_type": "roberta", "pad_token_id": 1}) == 2
    assert first_position({"model_type": "bert", "pad_token_id": 1}) == 0


UNKNOWN = {
    "a causal BERT": ("bert", dict(is_decoder=True), "both directions"),
    "a causal RoBERTa": ("roberta", dict(is_decoder=True), "both directions"),
    "a decoder": ("bert", dict(add_cross_attention=True), "both directions"),
    "scaling": ("gpt2", dict(scale_attn_weights=False), "scales GPT-2's"),
    "scaling by depth": (
        "gpt2",
        dict(scale_attn_by_inverse_layer_idx=True),
        "scales GPT-2's",
    ),
    "an activation": ("bert", dict(hidden_act="silu"), "hidden_act is 'silu'"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_we_lack_is_refused(case):
    kind, changes, said = UNKNOWN[case]
    with pytest.raises(ConfigError, match=said) as error:
        TEXTS[kind].read(CONFIGS[kind](**changes).to_dict())
    assert short(error)


UNSAID = {
    "a bidirectional GPT-2": ("gpt2", dict(causal=False), "causal is False"),
    "a mean of BERT": ("bert", dict(pool="mean"), "from 'pooler'"),
    "another padding of RoBERTa": ("roberta", {}, "the id of padding is 0; RoBERTa"),
}


@pytest.mark.parametrize("case", UNSAID)
def test_what_it_cannot_say_is_refused(case):
    kind, changes, said = UNSAID[case]
    with pytest.raises(ConfigError, match=said) as error:
        TEXTS[kind].write(described(kind, **changes))
    assert short(error)

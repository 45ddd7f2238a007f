"""open_clip's CoCa: a table that comes back to the bit, and settings in its words."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.porting.tiny_coca import IMAGE, SIZE, coca
from tests.porting.tiny_models import (
    assert_refused,
    assert_same_bits,
    change_json,
    short,
)
from vlp_jax import endpoints, proof
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import open_clip, open_clip_coca
from vlp_jax.porting.description import Tokens
from vlp_jax.porting.weights import to_ours, to_theirs

OTHER = dict(image=dict(width=16, heads=2, mlp_ratio=2.5), text=dict(mlp_ratio=3.0))
QUICK = {part: dict(activation="quick_gelu") for part in ("image", "text", "fusion")}
CASES = {"usual": {}, "a pooler as wide as the tower": OTHER, "quick gelu": QUICK}


@pytest.fixture(scope="module")
def model():
    return coca()


@pytest.fixture(scope="module")
def there(model, tmp_path_factory):
    return endpoints.write(f"open_clip:{tmp_path_factory.mktemp('coca') / 'it'}", model)


@pytest.fixture
def folder(there, tmp_path):
    """A copy to spoil."""
    for path in there.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_it_goes_and_comes_back(case, tmp_path):
    """Weights to the bit, and the settings of every part."""
    given = coca(**CASES[case])
    written = endpoints.write(f"open_clip:{tmp_path / 'there'}", given)
    again = endpoints.read(f"open_clip:{written}")
    assert_same_bits(again.parameters, given.parameters)
    expected = given.description.model
    expected["text"]["padding_id"] = given.tokenizer.pad_id
    assert again.description.model == expected
    twice = endpoints.write(f"open_clip:{tmp_path / 'again'}", again)
    for name in (open_clip.CONFIG, open_clip.WEIGHTS):
        assert (twice / name).read_bytes() == (written / name).read_bytes()
    (found,) = proof.prove("open_clip", written, given)[:1]
    assert found.holds and found.differences["scores of next words"] == 0


@pytest.mark.parametrize("width", [24, 16])
def test_keys_are_those_of_open_clip(width):
    model = coca(image=dict(width=width, heads=2))
    rules = open_clip_coca.rules(model.description.model)
    theirs = to_theirs(rules, model.parameters)
    pool = {
        key.removeprefix("visual.attn_pool."): x.shape
        for key, x in theirs.items()
        if key.startswith("visual.attn_pool.")
    }
    own = {"attn.in_proj_weight": (48, 16)}
    if width != 16:
        own = {f"attn.{x}_proj_weight": (16, width) for x in "kv"}
        own["attn.q_proj_weight"] = (16, 16)
    assert pool == own | {
        "query": (6, 16),
        "ln_q.weight": (16,),
        "ln_q.bias": (16,),
        "ln_k.weight": (width,),
        "ln_k.bias": (width,),
        "attn.in_proj_bias": (48,),
        "attn.out_proj.weight": (16, 16),
        "attn.out_proj.bias": (16,),
    }
    assert theirs["text.positional_embedding"].shape == (17, 16)
    last = model.parameters["text/class_position"]
    np.testing.assert_array_equal(theirs["text.positional_embedding"][-1], last)
    words = model.tokenizer.vocab_size
    assert theirs["text_decoder.text_projection"].shape == (16, words)
    assert theirs["visual.ln_post.weight"].shape == (16,)
    assert_same_bits(to_ours(rules, theirs), model.parameters)


def test_the_config_is_that_of_open_clip(model):
    found = open_clip_coca.write(model.description)
    words = model.tokenizer.vocab_size
    assert found["multimodal_cfg"] == dict(
        context_length=16, vocab_size=words, width=16, heads=2, layers=2
    )
    vision, text = found["vision_cfg"], found["text_cfg"]
    assert vision["attentional_pool"] is True and vision["attn_pooler_queries"] == 6
    assert text["embed_cls"] and text["pad_id"] == model.tokenizer.pad_id
    assert found["custom_text"] and "pool_type" not in text


def described(model, **tokens):
    given = model.description
    return dataclasses.replace(
        given, tokens=dataclasses.replace(given.tokens, **tokens)
    )


CLIPS = dict(bos_id=49_406, eos_id=49_407, pad_id=49_407, vocab_size=49_408)


def test_padding_by_the_tokenizer_that_open_clip_brings_along():
    """Released weights have padding 0, and no tokenizer of Hugging Face's pads so."""
    model = coca(text=dict(padding_id=0))
    own = described(model, canonicalise="clip", **CLIPS)
    text = open_clip_coca.write(own)["text_cfg"]
    assert text["pad_id"] == 0 and "hf_tokenizer_name" not in text
    assert open_clip_coca.read(whole(own))["text"]["padding_id"] == 0
    for other in (dict(canonicalise="none"), dict(eos_id=3), dict(vocab_size=7)):
        tokens = {"canonicalise": "clip", **CLIPS, **other}
        with pytest.raises(ConfigError, match="padding_id is 0, .* only with CLIP's"):
            open_clip_coca.write(described(model, **tokens))


def whole(given):
    """model_cfg with the defaults that open_clip has."""
    found = open_clip_coca.write(given)
    return found | {
        "vision_cfg": open_clip.VISION | found["vision_cfg"],
        "text_cfg": open_clip.TEXT | found["text_cfg"],
    }


UNSAID = {
    "another mask": (dict(text=dict(shifted_mask=False)), "a mask that is shifted"),
    "an epsilon": (dict(image=dict(norm_epsilon=1e-3)), "norm_epsilon=1e-05 in the im"),
    "its own ratio": (
        dict(fusion=dict(mlp_ratio=2.0)),
        "decoder always has 4.0, 1e-05",
    ),
    "an activation": (dict(fusion=dict(activation="gelu_tanh")), "and here gelu"),
    "a width": (dict(embedding_size=12), "decoder is as wide as the embeddings"),
    "pooling": (dict(image=dict(pool="mean")), "model.image.pool is 'mean'"),
}


@pytest.mark.parametrize("case", UNSAID)
def test_what_it_cannot_say_is_refused(case):
    changes, said = UNSAID[case]
    with pytest.raises(ConfigError) as error:
        open_clip.check(coca(**changes).description)
    assert said in str(error.value) and short(error)


UNKNOWN = {
    "no pooler": (dict(vision_cfg__attentional_pool=None), "attentional_pool=None"),
    "another pooler": (dict(vision_cfg__attentional_pool="cascade"), "'cascade'"),
    "no class token": (dict(text_cfg__embed_cls=False), "embed_cls=False"),
    "both directions": (dict(text_cfg__no_causal_mask=True), "sets no_causal_mask"),
    "layer scales": (dict(multimodal_cfg__ls_init_value=1e-5), "sets ls_init_value"),
    "another text tower": (
        dict(text_cfg__hf_model_name="roberta-base"),
        "hf_model_nam",
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_we_lack_is_refused(folder, case):
    changes, said = UNKNOWN[case]
    path = folder / open_clip.CONFIG
    change_json(path, **{f"model_cfg__{key}": value for key, value in changes.items()})
    assert_refused(lambda: open_clip.read(folder), said)


def test_other_libraries_have_no_place_for_it(model, tmp_path):
    assert_refused(
        lambda: endpoints.write(f"hf:{tmp_path / 'new'}", model),
        "transformers has no place for a model of kind coca",
    )


def test_its_tokenizer(there, model):
    found = open_clip.tokens(there)
    vocabulary = model.tokenizer.vocab_size
    assert found == Tokens(vocabulary, 16, None, canonicalise="open_clip")
    assert load_file(there / open_clip.WEIGHTS)["logit_scale"].shape == ()
    assert IMAGE["width"] == 24 and SIZE["width"] == 16

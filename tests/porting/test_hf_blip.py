"""transformers' BLIP becomes ours and is itself again: weights, settings, outputs."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.porting import tiny_blip
from tests.porting.tiny_blip import CLASSES, WIDTH
from tests.porting.tiny_models import (
    arrays_of,
    assert_refused,
    assert_same_bits,
    change_json,
    ids,
)
from vlp_jax import endpoints, proof
from vlp_jax.porting import hf, hf_blip
from vlp_jax.porting.weights import to_ours, to_theirs

SHAPES = {
    "usual": {},
    "other ratios, epsilon and heads": dict(
        vision=dict(intermediate_size=62, layer_norm_eps=1e-3, num_attention_heads=4),
        text=dict(intermediate_size=50, layer_norm_eps=1e-3, num_attention_heads=2),
    ),
    "another activation, depth and embedding": dict(
        vision=dict(hidden_act="gelu_pytorch_tanh", num_hidden_layers=1),
        text=dict(hidden_act="quick_gelu", num_hidden_layers=3),
        image_text_hidden_size=7,
    ),
}
OUTPUTS = {
    "matching": {"embeddings", "scores of a match"},
    "captioning": {"scores of next words"},
    "answering": {"scores of next words"},
}
DECODER = "text_decoder.cls.predictions.decoder"


@pytest.fixture(scope="module", params=list(CLASSES))
def head(request):
    return request.param


@pytest.fixture(scope="module")
def there(head, tmp_path_factory):
    """The folder that transformers wrote."""
    return tiny_blip.save(tiny_blip.blip(head), tmp_path_factory.mktemp(head) / "it")


@pytest.fixture(scope="module")
def model(there):
    return endpoints.read(f"hf:{there}")


@pytest.fixture
def folder(there, tmp_path):
    """A copy to spoil."""
    for path in there.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def flat(config, start=""):
    """{key, 'text_config.key': value} of settings."""
    found = {}
    for key, value in config.items():
        inner = isinstance(value, dict)
        found |= flat(value, f"{key}.") if inner else {start + key: value}
    return found


@pytest.mark.parametrize("case", SHAPES)
def test_weights_and_settings_go_and_come_back(case, head):
    theirs = tiny_blip.blip(head, **SHAPES[case])
    settings = hf_blip.read(theirs.config.to_dict())
    rules, arrays = hf_blip.rules(settings), arrays_of(theirs)
    ours = to_ours(rules, arrays, hf_blip.FAMILY.ignored)
    # What is tied is there under two names; a file has it once.
    tied = {f"{DECODER}.{name}" for name in ("weight", "bias")} & arrays.keys()
    assert bool(tied) == (head != "matching")
    once = {k: x for k, x in arrays.items() if k not in tied}
    assert_same_bits(to_theirs(rules, ours), once)


def test_it_goes_and_comes_back_to_the_bit(there, model, head, tmp_path):
    """Loaded by its own name, with no key too many or too few."""
    import transformers

    written = endpoints.write(f"hf:{tmp_path}/again", model)
    before, after = (load_file(x / "model.safetensors") for x in (there, written))
    assert_same_bits(after, before)
    found, report = getattr(transformers, CLASSES[head]).from_pretrained(
        written, output_loading_info=True
    )
    assert not any(report.values()), report
    assert hf.class_of(written) == hf.class_of(there) == CLASSES[head]
    known = flat(json.loads((there / "config.json").read_text()))
    again = flat(json.loads(json.dumps(found.config.to_dict())))
    differ = {key for key, value in known.items() if again[key] != value}
    if head != "matching":  # which alone has embeddings
        differ.discard("image_text_hidden_size")
    assert differ <= {"transformers_version"}
    assert model.tokenizer.vocab_size == ids()["vocab_size"]


def test_it_computes_what_transformers_computes(there, model, head, tmp_path):
    (read,) = proof.against("hf", there, model)
    assert read.holds and read.differences.keys() == OUTPUTS[head], read
    assert (read.logits is None) == (head != "matching")
    written = endpoints.write(f"hf:{tmp_path}/again", model)
    found = proof.prove("hf", written, model)
    assert [x.side for x in found] == ["this package", "transformers"]
    assert all(x.holds and x.prepared == "" for x in found), found
    assert set(found[0].differences.values()) == {0}


# What is changed in the config of transformers, behind our back.
SPOILT = [
    dict(vision_config__layer_norm_eps=1e-3),
    dict(text_config__num_attention_heads=2),
]


@pytest.mark.long
@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_model_that_computes_otherwise_is_noticed(folder, model, spoilt):
    change_json(folder / "config.json", **spoilt)
    (found,) = proof.against("hf", folder, model)
    assert not found.holds and max(found.differences.values()) > 1e-5


def test_our_checkpoint_of_it(model, tmp_path):
    ours = endpoints.write(f"vlp:{tmp_path / 'ours'}", model)
    found = endpoints.read(f"vlp:{ours}")
    assert_same_bits(found.parameters, model.parameters)
    assert found.description == model.description


def test_old_files_have_more_keys(folder, model, head):
    """Buffers, and the last linear map, which is the token embedding."""
    weights = load_file(folder / "model.safetensors")
    for part in ("text_encoder.embeddings", "text_decoder.bert.embeddings"):
        if f"{part}.word_embeddings.weight" in weights:
            weights[f"{part}.position_ids"] = np.arange(16)[None]
    if head != "matching":
        table = weights["text_decoder.bert.embeddings.word_embeddings.weight"]
        weights[f"{DECODER}.weight"] = table.copy()
        bias = weights["text_decoder.cls.predictions.bias"]
        weights[f"{DECODER}.bias"] = bias.copy()
    save_file(weights, folder / "model.safetensors")
    found = endpoints.read(f"hf:{folder}")
    assert_same_bits(found.parameters, model.parameters)


# Settings of ours, and why transformers has no place for them.
UNWRITABLE = {
    "all uses": (dict(answering=True), "this model has embedding_size, matching, capt"),
    "another image tower": (
        dict(captioning=False, image={"kind": "vit"}),
        "has the image tower 'plain_vit', not 'vit'",
    ),
    "segments": (
        dict(captioning=False, text={"token_types": 2}),
        "no types of tokens",
    ),
    "[ENC]": (dict(captioning=False), "train with model.encode_token=False"),
    "scale": (
        dict(captioning=False, encode_token=False),
        "no logit_scale; name the use to give, as --head=matching",
    ),
    "sharing": (
        dict(embedding_size=None, matching=False),
        "a decoder that shares nothing with an encoder; name the use",
    ),
    "other shapes": (
        dict(
            embedding_size=None,
            matching=False,
            captioning=False,
            answering=True,
            decoder=dict(kind="bert", width=WIDTH, depth=1, heads=3, token_types=0),
        ),
        "an encoder and a decoder of one shape",
    ),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_what_transformers_lacks_is_refused(case, tmp_path):
    settings, said = UNWRITABLE[case]
    given = tiny_blip.ours(**{"answering": False, **settings})
    assert_refused(lambda: endpoints.write(f"hf:{tmp_path / 'new'}", given), said)
    assert list(tmp_path.iterdir()) == []


REFUSED = {
    "no use": (dict(architectures=["BlipModel"]), "BlipModel; expected one of Blip"),
    "its own start token": (dict(text=dict(bos_token_id=5)), "starts texts with the"),
    "no cross-attention": (dict(text=dict(is_decoder=False)), "no cross-attention"),
    "a head of its own": (dict(tie_word_embeddings=False), "is not the token embed"),
    "activation": (dict(vision=dict(hidden_act="relu")), "hidden_act is 'relu'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_we_lack_is_refused(case):
    changes, said = dict(REFUSED[case][0]), REFUSED[case][1]
    config = tiny_blip.blip("captioning").config.to_dict()
    for part in ("text", "vision"):
        config[f"{part}_config"] |= changes.pop(part, {})
    assert_refused(lambda: hf_blip.read(config | changes), said)


def test_its_embeddings_are_programs_too(tmp_path):
    """Computed by way of the tokens that other outputs are computed from as well."""
    given = tiny_blip.ours()
    folder = endpoints.write(f"export:{tmp_path / 'programs'}", given)
    (found,) = proof.prove("export", folder, given)
    assert found.holds and found.differences.keys() == {"embeddings"}

"""transformers' ViLT becomes ours and is itself again: weights, settings, outputs."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import vlp_jax
from tests.porting import tiny_vilt
from tests.porting.tiny_models import (
    arrays_of,
    assert_refused,
    assert_same_bits,
    change_json,
)
from tests.porting.tiny_vilt import ANSWERS, CLASSES
from vlp_jax import endpoints, proof
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import hf, hf_vilt
from vlp_jax.porting.weights import to_ours, to_theirs

SHAPES = {
    "usual": {},
    "other ratio, epsilon and heads": dict(
        intermediate_size=62, layer_norm_eps=1e-3, num_attention_heads=4
    ),
    "another activation, depth and types": dict(
        hidden_act="gelu_pytorch_tanh", num_hidden_layers=1, type_vocab_size=1
    ),
}
SCORES = {"masked_lm": "words", "matching": "a match", "answers": "answers"}


@pytest.fixture(scope="module", params=list(CLASSES))
def head(request):
    return request.param


@pytest.fixture(scope="module")
def there(head, tmp_path_factory):
    """The folder that transformers wrote."""
    return tiny_vilt.save(tiny_vilt.vilt(head), tmp_path_factory.mktemp(head) / "it")


@pytest.fixture(scope="module")
def model(there):
    return endpoints.read(f"hf:{there}")


@pytest.fixture
def folder(there, tmp_path):
    """A copy to spoil."""
    for path in there.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("case", SHAPES)
def test_weights_and_settings_go_and_come_back(case, head):
    theirs = tiny_vilt.vilt(head, **SHAPES[case])
    settings = hf_vilt.read(theirs.config.to_dict())
    rules, arrays = hf_vilt.rules(settings), arrays_of(theirs)
    ours = to_ours(rules, arrays, hf_vilt.FAMILY.ignored)
    again = to_theirs(rules, ours)
    # One array under two names there; a file has it once.
    tied = {"mlm_score.decoder.weight"} & arrays.keys()
    assert bool(tied) == (head == "masked_lm")
    assert_same_bits(again, {k: x for k, x in arrays.items() if k not in tied})


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
    known = json.loads((there / "config.json").read_text())
    again = found.config.to_dict()
    extra = {"transformers_version", "pad_token_id"}
    for key, value in known.items():
        assert key in extra or json.loads(json.dumps(again[key])) == value, key
    assert model.answers == (ANSWERS if head == "answers" else ())


def test_it_computes_what_transformers_computes(there, model, head, tmp_path):
    """Of what it wrote, its own pictures made squares; and of what we write."""
    (read,) = proof.against("hf", there, model)
    name = f"scores of {SCORES[head]}"
    assert read.holds and read.differences.keys() == {name} and read.logits is None
    assert "pictures are prepared with resize 'squash' in place" in read.lines()[-1]
    written = endpoints.write(f"hf:{tmp_path}/again", model)
    found = proof.prove("hf", written, model)
    assert [x.side for x in found] == ["this package", "transformers"]
    assert all(x.holds and x.prepared == "" for x in found), found
    assert found[0].differences == {name: 0}
    assert found[1].lines()[1].startswith(f"{name} differ by ")


def test_it_is_of_use(there, model, head):
    """Pictures and texts in; what comes out is what was proved."""
    loaded, outputs = vlp_jax.load(f"hf:{there}", batch_size=8), proof.ours(model)
    pictures, texts = proof.samples()
    able = {"matching": "match", "answers": "answer"}.get(head)
    for name in ("embed", "match", "generate", "answer"):
        assert loaded.can(name) == (name == able)
    if head == "matching":
        odds = np.exp(np.diff(outputs.outputs["match"])[:, 0].astype(np.float64))
        found = loaded.match(pictures, texts)
        np.testing.assert_allclose(found, odds / (1 + odds), atol=1e-5)
    elif head == "answers":
        best = outputs.outputs["answer_logits"].argmax(1)
        assert loaded.answer(pictures, texts) == [ANSWERS[i] for i in best]
    assert_refused(lambda: loaded.encode_text(["a"]), "a Vilt cannot embed")


# What is changed in the config of transformers, behind our back.
@pytest.mark.parametrize(
    "spoilt", [dict(layer_norm_eps=1e-3), dict(num_attention_heads=4)]
)
def test_a_model_that_computes_otherwise_is_noticed(folder, model, spoilt):
    change_json(folder / "config.json", **spoilt)
    (found,) = proof.against("hf", folder, model)
    assert not found.holds and max(found.differences.values()) > 1e-5


def test_our_checkpoint_of_it(model, tmp_path):
    ours = endpoints.write(f"vlp:{tmp_path / 'ours'}", model)
    found = endpoints.read(f"vlp:{ours}")
    assert_same_bits(found.parameters, model.parameters)
    assert found.description == model.description and found.answers == model.answers
    assert endpoints.load(str(ours), 8).parameters == model.count()


def test_old_files_have_other_keys(folder, model, head):
    """Buffers; the words' scores had their bias beside the decoder, and that twice."""
    weights = load_file(folder / "model.safetensors")
    embeddings = "vilt.embeddings.text_embeddings"
    weights[f"{embeddings}.position_ids"] = np.arange(16)[None]
    if head == "masked_lm":
        weights["mlm_score.bias"] = weights.pop("mlm_score.decoder.bias")
        table = weights[f"{embeddings}.word_embeddings.weight"]
        weights["mlm_score.decoder.weight"] = table.copy()
    save_file(weights, folder / "model.safetensors")
    found = endpoints.read(f"hf:{folder}")
    assert_same_bits(found.parameters, model.parameters)


def test_a_model_of_several_heads(tmp_path):
    given = tiny_vilt.ours()
    assert_refused(
        lambda: endpoints.write(f"hf:{tmp_path / 'new'}", given),
        "masked_lm and matching and answers; name the one to give, as --head=",
    )
    none = tiny_vilt.ours(answers=(), matching=False, masked_lm=False)
    with pytest.raises(ConfigError, match="this model has none"):
        hf.check(none.description)
    assert_refused(
        lambda: endpoints.write(f"open_clip:{tmp_path / 'new'}", given),
        "open_clip has no place for a model of kind vilt",
    )
    assert_refused(
        lambda: endpoints.write(f"export:{tmp_path / 'new'}", given),
        "a Vilt has no embeddings",
    )
    assert list(tmp_path.iterdir()) == []


REFUSED = {
    "no head": (dict(architectures=["ViltModel"]), "ViltModel; expected one of Vilt"),
    "pictures": (dict(modality_type_vocab_size=3), "a ViLT for several pictures"),
    "bias": (dict(qkv_bias=False), "without qkv_bias"),
    "patches left out": (dict(max_image_length=8), "max_image_length=8: patches are"),
    "activation": (dict(hidden_act="relu"), "hidden_act is 'relu'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_we_lack_is_refused(case):
    changes, said = REFUSED[case]
    config = tiny_vilt.vilt("matching").config.to_dict() | changes
    assert_refused(lambda: hf_vilt.read(config), said)


def test_enough_patches_are_no_limit():
    config = tiny_vilt.vilt("matching").config.to_dict() | {"max_image_length": 9}
    assert hf_vilt.read(config)["matching"]

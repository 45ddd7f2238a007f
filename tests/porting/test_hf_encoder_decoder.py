"""transformers' VisionEncoderDecoderModel becomes ours and is itself again."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.data.test_tokenizers import gpt2_tokenizer
from tests.porting import tiny_captioner
from tests.porting.tiny_models import (
    arrays_of,
    assert_refused,
    assert_same_bits,
    change_json,
)
from vlp_jax import endpoints, proof
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.porting import hf, hf_encoder_decoder

KINDS = ("gpt2", "bert")
POOLER = "encoder.pooler.dense."  # which nobody reads


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def there(kind, tmp_path_factory):
    """The folder that transformers wrote."""
    folder = tmp_path_factory.mktemp(kind) / "it"
    return tiny_captioner.save(tiny_captioner.captioner(kind), folder)


@pytest.fixture(scope="module")
def model(there):
    return endpoints.read(f"hf:{there}")


@pytest.fixture
def folder(there, tmp_path):
    """A copy to spoil."""
    for path in there.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_it_goes_and_comes_back_to_the_bit(there, model, kind, tmp_path):
    """But for the pooler, which is written as zeros; loaded with no key too many."""
    import transformers

    written = endpoints.write(f"hf:{tmp_path}/again", model)
    before, after = (load_file(x / hf.WEIGHTS) for x in (there, written))
    assert before.keys() == after.keys()
    pooler = {key for key in before if key.startswith(POOLER)}
    assert len(pooler) == 2 and not any(after[key].any() for key in pooler)
    kept = [{k: x for k, x in y.items() if k not in pooler} for y in (after, before)]
    assert_same_bits(*kept)
    loaded, report = transformers.VisionEncoderDecoderModel.from_pretrained(
        written, output_loading_info=True
    )
    assert not any(report.values()), report
    assert loaded.generation_config.decoder_start_token_id == model.tokenizer.bos_id
    known = json.loads((there / hf.CONFIG).read_text())
    again = loaded.config.to_dict()
    for part in ("encoder", "decoder"):
        changed = {
            key: again[part].get(key)
            for key, value in known[part].items()
            if json.loads(json.dumps(again[part].get(key))) != value
        }
        # gelu_new is the same function.
        assert changed.keys() <= {"dtype", "activation_function"}, changed
    assert model.config.model.kind == "captioner"
    assert model.config.model.decoder.kind == kind


def test_it_computes_what_transformers_computes(there, model, tmp_path):
    """Scores of the next words, of what it wrote and of what we write."""
    (read,) = proof.against("hf", there, model)
    name = "scores of next words"
    assert read.holds and read.differences.keys() == {name} and read.logits is None
    written = endpoints.write(f"hf:{tmp_path}/again", model)
    found = proof.prove("hf", written, model)
    assert [x.side for x in found] == ["this package", "transformers"]
    assert all(x.holds for x in found), found
    assert found[0].differences == {name: 0}


@pytest.mark.parametrize("spoilt", [dict(encoder__layer_norm_eps=1e-3)])
def test_a_model_that_computes_otherwise_is_noticed(folder, model, spoilt):
    change_json(folder / hf.CONFIG, **spoilt)
    (found,) = proof.against("hf", folder, model)
    assert not found.holds


def test_our_checkpoint_of_it(model, tmp_path):
    ours = endpoints.write(f"vlp:{tmp_path / 'ours'}", model)
    found = endpoints.read(f"vlp:{ours}")
    assert_same_bits(found.parameters, model.parameters)
    assert found.description == model.description


def test_old_files_have_other_keys(folder, model, kind):
    """Buffers, and the head that is the token embedding."""
    weights = load_file(folder / hf.WEIGHTS)
    if kind == "gpt2":
        for i in range(2):
            layer = f"decoder.transformer.h.{i}"
            weights[f"{layer}.attn.bias"] = np.ones((1, 1, 16, 16), bool)
            weights[f"{layer}.attn.masked_bias"] = np.full((), -1e4, np.float32)
            weights[f"{layer}.crossattention.bias"] = np.ones((1, 1, 16, 16), bool)
        table = weights["decoder.transformer.wte.weight"]
        weights["decoder.lm_head.weight"] = table.copy()
    else:
        weights["decoder.bert.embeddings.position_ids"] = np.arange(16)[None]
        head = "decoder.cls.predictions"
        table = weights["decoder.bert.embeddings.word_embeddings.weight"]
        weights[f"{head}.decoder.weight"] = table.copy()
        weights[f"{head}.decoder.bias"] = weights[f"{head}.bias"].copy()
    save_file(weights, folder / hf.WEIGHTS)
    found = endpoints.read(f"hf:{folder}")
    assert_same_bits(found.parameters, model.parameters)


def test_a_decoder_as_wide_as_the_tower():
    """Has no map between the two."""
    theirs = tiny_captioner.captioner("gpt2", n_embd=24, n_head=3)
    settings = hf_encoder_decoder.read(theirs.config.to_dict())
    rules = hf_encoder_decoder.rules(settings)
    assert not any("enc_to_dec_proj" in rule.theirs for rule in rules)
    keys = {rule.theirs for rule in rules}
    assert "enc_to_dec_proj.weight" not in arrays_of(theirs)
    assert "decoder.transformer.h.1.crossattention.q_attn.weight" in keys


def test_a_tokenizer_without_a_start_gets_one(tmp_path):
    """GPT-2's, as in published captioners: their decoders begin with its one token."""
    words = gpt2_tokenizer()
    ids = dict(vocab_size=len(words), bos_token_id=258, eos_token_id=258)
    theirs = tiny_captioner.captioner("gpt2", **ids)
    theirs.config.decoder_start_token_id = 258
    tiny_captioner.save(theirs, tmp_path)
    for path in tmp_path.glob("*token*"):
        path.unlink()
    words.save_pretrained(tmp_path)
    assert Tokenizer.load(str(tmp_path), 16)("red")[0][0, :2].tolist() == [257, 258]
    model = endpoints.read(f"hf:{tmp_path}")
    assert model.tokenizer("red")[0][0, :3].tolist() == [258, 257, 258]
    change_json(tmp_path / hf.CONFIG, decoder_start_token_id=7)
    assert_refused(
        lambda: endpoints.read(f"hf:{tmp_path}"),
        "the decoder begins with the token 7, and its tokenizer with 258",
    )


REFUSED = {
    "no cross-attention": (dict(add_cross_attention=False), "has no cross-attention"),
    "its own head": (dict(tie_word_embeddings=False), "is not the token embedding"),
    "a width": (dict(cross_attention_hidden_size=24), "one of a width of its own"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_we_lack_is_refused(case, kind):
    changes, said = REFUSED[case]
    config = tiny_captioner.captioner(kind).config.to_dict()
    config["decoder"] |= changes
    assert_refused(lambda: hf_encoder_decoder.read(config), said)


def test_what_it_has_no_place_for(tmp_path):
    other = tiny_captioner.ours("gpt2", image="vit")
    assert_refused(
        lambda: endpoints.write(f"hf:{tmp_path / 'new'}", other),
        "model.image.kind is 'vit'; transformers' encoder-decoder shows",
    )
    assert_refused(
        lambda: endpoints.write(f"open_clip:{tmp_path / 'new'}", other),
        "open_clip has no place for a model of kind captioner",
    )
    assert_refused(
        lambda: endpoints.write(f"export:{tmp_path / 'new'}", other),
        "a Captioner has no embeddings",
    )
    assert list(tmp_path.iterdir()) == []

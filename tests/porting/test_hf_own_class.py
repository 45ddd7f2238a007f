"""Towers that transformers cannot join are joined by a class of ours in the folder."""

import dataclasses
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.porting.random_models import LENGTH, VIT, random_model
from tests.porting.tiny_models import (
    assert_refused,
    assert_same_bits,
    change_json,
    short,
)
from vlp_jax import endpoints, proof
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.models.text import POOLS
from vlp_jax.porting import hf, hf_own_class

WIDE = dict(width=24, depth=2, heads=3)
IMAGES = {
    "resnet": dict(kind="resnet", depths=(2, 1, 1), stem_width=4, block="bottleneck"),
    "resnet, basic": dict(kind="resnet", depths=(1, 2), stem_width=6, block="basic"),
    "vit": dict(kind="plain_vit", patch_size=8, pool="pooler", **WIDE),
    "clip": VIT,
}
SHAPE = dict(width=16, depth=2, heads=2, mlp_ratio=3.0)
TEXTS = {
    "bert": dict(kind="bert", pool="pooler", **SHAPE),
    "roberta": dict(kind="roberta", pool="pooler", **SHAPE),
    "gpt2": dict(kind="gpt2", pool="last_unmasked", **SHAPE),
}
PAIRS = [
    ("resnet", "bert"),
    ("resnet, basic", "roberta"),
    ("resnet", "gpt2"),
    ("vit", "gpt2"),
    ("clip", "gpt2"),
]


def other_ids(words: Tokenizer, bare: bool = False, **tokens) -> Tokenizer:
    """With other special tokens; bare: as GPT-2's, which adds none to a text."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    backend = words.copy_of_backend()
    if bare:
        backend.post_processor = processors.ByteLevel()
    return Tokenizer(
        PreTrainedTokenizerFast(tokenizer_object=backend, **tokens), LENGTH
    )


def a_model(image: str, text: str, **settings):
    """Of ours with random weights, RoBERTa's with its id for padding."""
    found = random_model(IMAGES[image], TEXTS[text], image_size=32, **settings)
    if text != "roberta":
        return found
    ends = dict(bos_token="<|startoftext|>", eos_token="<|endoftext|>")
    words = other_ids(found.tokenizer, pad_token="<|mask|>", **ends)
    assert words.pad_id == 1
    return dataclasses.replace(found, tokenizer=words)


def loaded(folder, **how):
    """As its users load it."""
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder, trust_remote_code=True, **how)


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch):
    """transformers asks at the keyboard where code is neither trusted nor refused."""
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "n")
    yield
    assert not asked


@pytest.fixture(scope="module", params=PAIRS, ids=" and ".join)
def model(request):
    return a_model(*request.param)


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "ours"
    return endpoints.write(f"hf:{folder}", model)


def test_it_computes_what_we_compute(model, written):
    """Photographs and captions, padded and cut, as its users encode them."""
    found = proof.prove("hf", written, model)
    assert [p.side for p in found] == ["this package", "transformers"]
    assert all(p.holds for p in found), found
    assert found[0].differences == {"embeddings": 0}
    _, mask = model.tokenizer(proof.samples()[1])
    assert mask.all(axis=1).any() and not mask.all(axis=1).all()


def test_transformers_loads_it_strictly(model, written):
    found, report = loaded(written, output_loading_info=True)
    assert not any(report.values()), report
    assert type(found).__name__ == "DualEncoder"
    assert {x.dtype.is_floating_point for x in found.parameters()} == {True}
    assert sum(x.numel() for x in found.parameters()) == model.count()


def test_its_own_weights_come_back_to_the_bit(written, tmp_path):
    """What transformers saves itself, with other weights and running statistics."""
    import torch

    theirs, generator = loaded(written), torch.Generator().manual_seed(0)
    for x in theirs.state_dict().values():  # running statistics too
        if x.dtype.is_floating_point:
            x.mul_(0.5 + torch.rand(x.shape, generator=generator))
    theirs.save_pretrained(tmp_path / "theirs")
    for path in written.iterdir():
        if not (tmp_path / "theirs" / path.name).exists():
            shutil.copy(path, tmp_path / "theirs")
    read = endpoints.read(f"hf:{tmp_path / 'theirs'}")
    again = endpoints.write(f"hf:{tmp_path / 'again'}", read)
    before, after = (load_file(x / hf.WEIGHTS) for x in (tmp_path / "theirs", again))
    assert_same_bits(after, before)
    first = load_file(written / hf.WEIGHTS)
    assert {k for k in first if (first[k] == before[k]).all()} == {
        k for k in first if k.endswith("num_batches_tracked")
    }
    (found,) = proof.against("hf", tmp_path / "theirs", read)
    assert found.holds and found.side == "transformers"


def test_padding_changes_nothing(model, written):
    """Whether there is none, or its id is also that of a token."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(written, trust_remote_code=True)
    theirs = loaded(written)
    with torch.no_grad():
        alone, padded = (
            theirs.get_text_features(**tokenizer(["a cat"], return_tensors="pt", **how))
            for how in ({}, {"padding": "max_length"})
        )
    assert alone.last_hidden_state.shape[1] < padded.last_hidden_state.shape[1]
    difference = (alone.pooler_output - padded.pooler_output).abs().max()
    assert difference <= 1e-5 * padded.pooler_output.abs().max()


@pytest.mark.parametrize("pool", POOLS)
def test_every_pool_of_gpt2(pool, tmp_path):
    """With a bias, whole numbers as settings, and another ratio and activation."""
    text = TEXTS["gpt2"] | dict(pool=pool, activation="gelu", norm_epsilon=1e-3)
    settings = dict(logit_bias_init=-10, logit_scale_init=2)
    mine = random_model(IMAGES["vit"], text, **settings)
    folder = endpoints.write(f"hf:{tmp_path / 'new'}", mine)
    found = proof.prove("hf", folder, mine)
    assert len(found) == 2 and all(p.holds for p in found), found
    read = endpoints.read(f"hf:{folder}").description.model
    assert read["text"] == mine.description.model["text"]
    assert read["logit_bias_init"] == -10 and read["logit_scale_init"] == 2


def test_a_tokenizer_with_one_id_for_all(tmp_path):
    """GPT-2's own: one token starts, ends and pads."""
    mine, one = a_model("vit", "gpt2"), "<|endoftext|>"
    words = other_ids(mine.tokenizer, bare=True, bos_token=one, eos_token=one)
    assert words.pad_id == words.eos_id == words.bos_id
    mine = dataclasses.replace(mine, tokenizer=words)
    folder = endpoints.write(f"hf:{tmp_path / 'new'}", mine)
    found = proof.prove("hf", folder, mine)
    assert len(found) == 2 and all(p.holds for p in found), found


# ---- what is refused


@pytest.fixture(scope="module")
def residual():
    return a_model("resnet", "gpt2")


@pytest.fixture
def folder(residual, tmp_path):
    return endpoints.write(f"hf:{tmp_path / 'there'}", residual)


def refused(folder, *said):
    assert_refused(lambda: endpoints.read(f"hf:{folder}"), *said)


def test_keys_that_are_not_those_of_the_model(folder):
    weights = load_file(folder / hf.WEIGHTS)
    save_file(weights | {"logit_bias": np.zeros(())}, folder / hf.WEIGHTS)
    refused(folder, "1 unexpected: logit_bias")
    gone = "vision_model.encoder.stages.1.layers.0.shortcut.normalization.running_var"
    missing = {key: array for key, array in weights.items() if key != gone}
    save_file(missing, folder / hf.WEIGHTS)
    refused(folder, f"1 missing: {gone}")


UNKNOWN = {
    "strides": (dict(vision_config__downsample_in_bottleneck=True), "(False, True)"),
    "pooling": (dict(text_pool="middle"), "unknown text pooling 'middle'"),
    "no pooling": (dict(text_pool=None), "lacks text_pool"),
    "text tower": (dict(text_config__model_type="opt"), "resnet + opt"),
    "no settings": (dict(vision_config="large"), "nothing + gpt2"),
    "no text tower": (dict(text_config=None), "resnet + nothing"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_configs_of_what_we_lack(folder, case):
    change, said = UNKNOWN[case]
    change_json(folder / hf.CONFIG, **change)
    refused(folder, said)


def test_a_bias_that_the_class_has_no_place_for(tmp_path):
    mine = random_model(IMAGES["resnet"], TEXTS["gpt2"], text_projection_bias=True)
    with pytest.raises(ConfigError, match="no bias in them") as error:
        endpoints.write(f"hf:{tmp_path / 'new'}", mine)
    assert short(error) and list(tmp_path.iterdir()) == []


# ---- code of others is never run


SPOILT = {
    "another class": lambda folder, code: (folder / code.name).write_bytes(
        code.read_bytes() + b"\nraise SystemExit('run')\n"
    ),
    "a class elsewhere": lambda folder, code: change_json(
        folder / hf.CONFIG, auto_map__AutoModel="other/name--dual_encoder.DualEncoder"
    ),
    "another file": lambda folder, code: (
        (folder / "mine.py").write_text("raise SystemExit('run')\n"),
        change_json(folder / hf.CONFIG, auto_map__AutoConfig="mine.DualEncoderConfig"),
    ),
    "of the tokenizer": lambda folder, code: change_json(
        folder / "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["mine.Mine", None]},
    ),
    "none": lambda folder, code: (folder / code.name).unlink(),
}


@pytest.mark.parametrize("case", SPOILT)
def test_only_our_own_code_is_run(residual, folder, case):
    """The weights are read all the same: nothing is run for that."""
    assert hf_own_class.is_whole(folder)
    SPOILT[case](folder, hf_own_class.CODE)
    assert not hf_own_class.is_whole(folder)
    read = endpoints.read(f"hf:{folder}")
    assert proof.changed_parameters(read, residual) == []
    with pytest.raises(RunError, match="custom code which must be executed") as error:
        proof.against("hf", folder, read)
    assert short(error)

"""Ports compute what transformers computes, and a proof notices what does not."""

import dataclasses

import numpy as np
import pytest

from tests.porting.tiny_models import MODELS, change_json, save
from vlp_jax import endpoints, proof
from vlp_jax.core.errors import RunError
from vlp_jax.porting import theirs

# Family, and settings of its vision and of its text config.
CASES = {
    "clip": ("clip", {}, {}),
    "clip, gelu, largest id": (
        "clip",
        dict(hidden_act="gelu", layer_norm_eps=1e-3),
        dict(hidden_act="gelu", eos_token_id=2, num_attention_heads=4),
    ),
    "clip, tanh gelu, other ratios": (
        "clip",
        dict(hidden_act="gelu_pytorch_tanh", intermediate_size=62),
        dict(intermediate_size=32, num_hidden_layers=1),
    ),
    "siglip": ("siglip", {}, {}),
    "siglip, other ratio, epsilon and heads": (
        "siglip",
        dict(intermediate_size=62, num_attention_heads=4, layer_norm_eps=1e-3),
        dict(hidden_act="gelu"),
    ),
}


@pytest.fixture(scope="module", params=list(CASES))
def there(request, tmp_path_factory):
    """A folder that transformers wrote."""
    kind, vision, text = CASES[request.param]
    folder = tmp_path_factory.mktemp("hf") / "theirs"
    return save(MODELS[kind](vision, text), folder)


def test_outputs_are_those_of_transformers(there, tmp_path):
    """Of what it wrote, and of what we wrote: photographs, long and strange texts."""
    model = endpoints.read(f"hf:{there}")
    (read,) = proof.against("hf", there, model)
    assert (
        read.differences["embeddings"] <= 1e-5
        and read.logits <= 1e-5
        and read.top1 == 1
    )
    assert read.same_tokens == (len(proof.samples()[1]),) * 2
    ours = endpoints.write(f"hf:{tmp_path / 'ours'}", model)
    again = endpoints.read(f"hf:{ours}")
    assert proof.changed_parameters(model, again) == []
    found = proof.prove("hf", ours, model)
    assert [p.side for p in found] == ["this package", "transformers"]
    assert all(p.holds for p in found)
    assert found[0].differences == {"embeddings": 0}
    # Texts that are cut and texts that are padded are among them.
    tokens, mask = model.tokenizer(proof.samples()[1])
    assert mask.all(axis=1).any() and not mask.all(axis=1).all()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = save(MODELS["clip"](), tmp_path_factory.mktemp("clip") / "theirs")
    return folder, endpoints.read(f"hf:{folder}")


# What is changed in the config of transformers, behind our back.
SPOILT = {
    "activation": dict(vision_config__hidden_act="gelu"),
    "end of text": dict(text_config__eos_token_id=2),
    "epsilon": dict(text_config__layer_norm_eps=1e-3),
    "heads": dict(vision_config__num_attention_heads=4),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_model_that_computes_otherwise_is_noticed(clip, tmp_path, case):
    _, model = clip
    folder = endpoints.write(f"hf:{tmp_path / 'new'}", model)
    change_json(folder / "config.json", **SPOILT[case])
    (found,) = proof.against("hf", folder, model)
    assert not found.holds and found.differences["embeddings"] > 1e-5


def test_a_tokenizer_that_gives_other_ids_is_noticed(clip, tmp_path):
    _, model = clip
    folder = endpoints.write(f"hf:{tmp_path / 'new'}", model)
    change_json(folder / "tokenizer.json", normalizer=None)
    (found,) = proof.against("hf", folder, model)
    same, known = found.same_tokens
    assert 0 < same < known and not found.holds
    assert f"{same} of {known} texts have the same tokens" in found.lines()[2]


def test_pictures_that_are_prepared_otherwise_are_noticed(clip, tmp_path):
    _, model = clip
    folder = endpoints.write(f"hf:{tmp_path / 'new'}", model)
    change_json(folder / "preprocessor_config.json", image_mean=[0.5] * 3)
    (found,) = proof.against("hf", folder, model)
    assert not found.holds


def test_a_folder_that_does_not_load_is_explained(clip, tmp_path):
    _, model = clip
    folder = endpoints.write(f"hf:{tmp_path / 'new'}", model)
    change_json(folder / "config.json", vision_config__num_hidden_layers=3)
    with pytest.raises(RunError, match="transformers does not run .*/new: ") as error:
        proof.against("hf", folder, model)
    assert len(str(error.value).splitlines()) <= 2


def test_without_the_library_nothing_is_said(clip, monkeypatch):
    def fail(*_):
        raise ImportError("no torch")

    monkeypatch.setitem(theirs.RUN, "hf", fail)
    folder, model = clip
    assert proof.against("hf", folder, model) == []
    assert proof.against("vlp", folder, model) == []
    assert [p.side for p in proof.prove("hf", folder, model)] == ["this package"]


def changed(model, **preprocessing):
    config = model.config.copy_and_resolve_references()
    config.preprocessing.update(preprocessing)
    return dataclasses.replace(model, config=config)


def test_roundings_of_the_crop_are_told_apart(clip):
    """Ours and transformers': proved on pictures cut as the format cuts them."""
    folder, model = clip
    mine = changed(model, resize="shortest", image_size=12)
    said = "resize 'shortest_floor' in place of 'shortest'"
    assert proof.prepared_otherwise(mine, model) == said
    assert proof.prepared_otherwise(model, model) == ""
    lists = changed(model, mean=tuple(model.config.preprocessing.mean))
    assert proof.prepared_otherwise(lists, model) == ""
    proved = proof.prove("hf", folder, mine)
    assert len(proved) == 2 and all(p.holds for p in proved)
    assert proved[1].lines()[-1] == f"pictures are prepared with {said}"


def test_half_precision_is_compared_in_float32(clip):
    """A run computes in bfloat16; its weights are float32, and so are proofs."""
    folder, model = clip
    config = model.config.copy_and_resolve_references()
    config.model.image.dtype = config.model.text.dtype = "bfloat16"
    half = dataclasses.replace(model, config=config)
    (found,) = proof.against("hf", folder, half)
    assert found.holds
    assert half.config.model.image.dtype == "bfloat16"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_in_half_precision_are_computed_with_in_float32(tmp_path, dtype):
    import torch

    folder = save(MODELS["clip"]().to(getattr(torch, dtype)), tmp_path / dtype)
    (found,) = proof.against("hf", folder, endpoints.read(f"hf:{folder}"))
    assert found.holds


@pytest.mark.parametrize("size", [12, 24, 36, 48, 224, 336, 384])
def test_a_picture_tells_the_roundings_of_the_crop_apart(size):
    """At each of these sizes, whichever other pictures do."""
    pictures, _ = proof.samples()
    apart = []
    for height, width, _ in (picture.shape for picture in pictures):
        over = int(size * max(width, height) / min(width, height)) - size
        apart.append(round(over / 2) != int(over / 2))
    assert apart[4]


def test_padding_may_have_another_id(clip):
    """Up to the end token each id counts."""
    _, model = clip
    outputs = theirs.embeddings(np.eye(3), np.eye(3))
    tokens, mask = model.tokenizer(["a", "a cat", "cat " * 50])
    one = theirs.Computed(outputs, tokens, mask)
    padded = np.where(mask, tokens, 7)
    found = proof.compare("other", model, one, one._replace(tokens=padded, mask=None))
    assert found.same_tokens == (3, 3)
    padded[1, 1] += 1
    found = proof.compare("other", model, one, one._replace(tokens=padded, mask=None))
    assert found.same_tokens == (2, 3)


def test_how_far_apart_is_measured(clip):
    _, model = clip
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(3, 4)), rng.normal(size=(5, 4))
    one = theirs.Computed(theirs.embeddings(image, text), np.zeros((5, 7), int))
    tokens = one.tokens.copy()
    tokens[2, 6] = 1
    other = theirs.Computed(theirs.embeddings(image, text * (1 + 1e-3)), tokens)
    found = proof.compare("other", model, one, other)
    assert (
        abs(found.differences["embeddings"] - 1e-3) < 1e-6
        and abs(found.logits - 1e-3) < 1e-6
    )
    assert found.same_tokens == (4, 5) and found.top1 == 1 and not found.holds
    assert proof.compare("same", model, one, one).holds
    turned = theirs.Computed(theirs.embeddings(-image, text), one.tokens)
    assert proof.compare("turned", model, one, turned).top1 == 0


def test_bits_are_compared(clip):
    _, model = clip
    path = "image/class_token"
    moved = model.parameters[path].copy()
    moved[3] = np.nextafter(moved[3], np.float32(9))
    parameters = {k: v for k, v in model.parameters.items() if k != "logit_scale"}
    other = dataclasses.replace(model, parameters=parameters | {path: moved})
    assert proof.changed_parameters(model, other) == [path, "logit_scale"]
    assert proof.changed_parameters(other, model) == [path, "logit_scale"]
    assert proof.changed_parameters(model, model) == []

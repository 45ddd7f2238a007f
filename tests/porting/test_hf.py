"""Folders of transformers: written for its strict loading, read in all forms."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.porting.tiny_models import (
    MODELS,
    arrays_of,
    assert_refused,
    assert_same_bits,
    change_json,
    clip,
    description,
    save,
    short,
    tokenizer,
)
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import hf
from vlp_jax.porting.files import write_safetensors


@pytest.fixture(scope="module", params=list(MODELS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def there(kind, tmp_path_factory):
    """(the model of transformers, the folder it wrote itself)."""
    model = MODELS[kind]()
    return model, save(model, tmp_path_factory.mktemp(kind) / "theirs")


@pytest.fixture
def folder(there, tmp_path):
    """A copy to spoil."""
    for path in there[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_there_and_back_is_the_same_file(kind, there, tmp_path):
    model, folder = there
    settings, preprocessing, parameters = hf.read(folder)
    given = description(settings, kind)
    assert preprocessing == given.preprocessing
    hf.check(given)
    hf.write(tmp_path, given, parameters)
    found = load_file(tmp_path / "model.safetensors")
    assert_same_bits(found, load_file(folder / "model.safetensors"))
    assert_same_bits(found, arrays_of(model))


def test_transformers_loads_it_strictly(kind, there, tmp_path):
    from transformers import AutoModel

    settings, _, parameters = hf.read(there[1])
    hf.write(tmp_path, description(settings, kind), parameters)
    model, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(model) is type(there[0])
    assert not any(report.values()), report
    assert {x.dtype for x in arrays_of(model).values()} == {np.dtype("float32")}


def test_old_files_have_position_ids(there, folder):
    """Buffers, which transformers saved until 4.31."""
    expected = hf.read(there[1])[2]
    weights = load_file(folder / "model.safetensors")
    for tower in ("text_model", "vision_model"):
        weights[f"{tower}.embeddings.position_ids"] = np.arange(16)[None]
    write_safetensors(folder / "model.safetensors", weights)
    assert_same_bits(hf.read(folder)[2], expected)


def test_weights_in_parts(there, tmp_path):
    model, whole = there
    save(model, tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert not (tmp_path / "model.safetensors").exists()
    assert_same_bits(hf.read(tmp_path)[2], hf.read(whole)[2])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(kind, tmp_path, dtype):
    import torch

    model = MODELS[kind]().to(getattr(torch, dtype))
    _, _, found = hf.read(save(model, tmp_path / dtype))
    _, _, expected = hf.read(save(model.float(), tmp_path / "float32"))
    assert_same_bits(found, expected)


def test_a_config_may_leave_out_what_is_usual(tmp_path):
    """As older ones do; the defaults are transformers' own."""
    save(clip(), tmp_path)
    expected, *_ = hf.read(tmp_path)
    change_json(
        tmp_path / "config.json",
        vision_config__layer_norm_eps=None,
        vision_config__hidden_act=None,
        text_config__hidden_act=None,
    )
    found, *_ = hf.read(tmp_path)
    assert found == expected and found["image"]["activation"] == "quick_gelu"


def test_preprocessing_in_the_file_of_all_processors(kind, folder):
    """As CLIPProcessor.save_pretrained of transformers 5 writes it."""
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPProcessor

    _, expected, _ = hf.read(folder)
    parts = [x.from_pretrained(folder) for x in (AutoImageProcessor, AutoTokenizer)]
    (folder / "preprocessor_config.json").unlink()
    CLIPProcessor(*parts).save_pretrained(folder)
    assert not (folder / "preprocessor_config.json").exists()
    assert hf.read(folder)[1] == expected


def test_the_file_of_all_processors_comes_first(folder):
    """As transformers reads a folder that has both; older ones say nothing in it."""
    _, expected, _ = hf.read(folder)
    config = json.loads((folder / "preprocessor_config.json").read_text())
    whole = folder / "processor_config.json"
    whole.write_text(json.dumps({"processor_class": "CLIPProcessor"}))
    assert hf.read(folder)[1] == expected
    own = {"image_processor": config | {"image_mean": [0.1, 0.2, 0.3]}}
    whole.write_text(json.dumps(own))
    assert hf.read(folder)[1] == expected | {"mean": (0.1, 0.2, 0.3)}


def test_the_length_and_the_end_of_texts(kind, there):
    found = hf.tokens(there[1])
    assert found.length == 16 and found.vocab_size == tokenizer().vocab_size
    assert found.eos_id == (3 if kind == "clip" else None)


# ---- what is refused


def refused(folder, *said):
    assert_refused(lambda: hf.read(folder), *said)


def test_keys_that_are_not_those_of_the_model(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    renamed = {
        k.replace("text_model.final", "text.final"): v for k, v in weights.items()
    }
    save_file(renamed, path)
    refused(folder, "text_model.final_layer_norm.bias", "text.final_layer_norm.bias")
    left_out = {k: v for k, v in weights.items() if k != "logit_scale"}
    save_file(left_out, path)
    refused(folder, "1 missing: logit_scale")
    save_file(weights | {"text_model.extra": np.zeros(1)}, path)
    refused(folder, "1 unexpected: text_model.extra")


def test_a_config_of_another_depth(folder):
    change_json(folder / "config.json", vision_config__num_hidden_layers=3)
    refused(folder, "16 missing: vision_model.encoder.layers.2.")


@pytest.mark.parametrize("given", ["clap", None])
def test_a_model_of_another_type(folder, given):
    change_json(folder / "config.json", model_type=given)
    refused(folder, str(folder / "config.json"), repr(given or ""), "clip")


def test_sizes_of_pictures_that_disagree(kind, folder):
    config = json.loads((folder / "preprocessor_config.json").read_text())
    content = json.dumps(config).replace("12", "16")
    (folder / "preprocessor_config.json").write_text(content)
    refused(folder, "pictures of 16 pixels", "expects 12")


def test_settings_that_are_none(folder):
    change_json(folder / "config.json", vision_config="large")
    refused(folder, "config.json is not valid")


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_files_that_are_missing(folder, name):
    (folder / name).unlink()
    refused(folder, name, "No such file")


def test_towers_that_it_has_not(there):
    settings, _, _ = hf.read(there[1])
    settings["image"]["kind"] = "resnet"
    with pytest.raises(ConfigError, match="no place for the towers resnet with") as e:
        hf.check(description(settings, "clip"))
    assert short(e) and "vit with transformer" in str(e.value)

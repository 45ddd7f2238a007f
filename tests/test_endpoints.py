"""Endpoints: how they are named, what they hold, whole or not at all."""

import dataclasses
import functools
import json

import numpy as np
import pytest

from tests.end_to_end.outcomes import fingerprint
from tests.porting.tiny_models import (
    MODELS,
    assert_refused,
    assert_same_bits,
    change_json,
    clip,
    save,
    tokenizer,
)
from tests.saved_runs import saved
from vlp_jax import endpoints, portable, proof, trained
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.porting import hf


@pytest.fixture(scope="module", params=list(MODELS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def there(kind, tmp_path_factory):
    """The folder that transformers wrote, of a CLIP and of a SigLIP."""
    return save(MODELS[kind](), tmp_path_factory.mktemp(kind) / "theirs")


@pytest.fixture(scope="module")
def model(there):
    return endpoints.read(f"hf:{there}")


def test_names():
    assert endpoints.split("hf:some/folder") == ("hf", "some/folder")
    assert endpoints.split("open_clip:C:/x") == ("open_clip", "C:/x")
    assert endpoints.split("runs/x", "vlp") == ("vlp", "runs/x")
    assert endpoints.split("/runs/a:b", "vlp") == ("vlp", "/runs/a:b")


@pytest.mark.parametrize("name", ["runs/x", "hff:runs/x", "HF:runs/x", ""])
def test_names_without_a_known_format(name):
    assert_refused(lambda: endpoints.split(name), repr(name), "hf:DIR", "open_clip:DIR")


def test_a_misspelt_format_is_no_path():
    assert_refused(lambda: endpoints.read("hff:runs/x"), "'hff:runs/x' is no endpoint")
    assert_refused(lambda: endpoints.read("hf:"), "names no folder; give hf:DIR")


def assert_same_model(found, expected):
    assert_same_bits(found.parameters, expected.parameters)
    for key, value in expected.description.model.items():
        assert found.description.model[key] == value, key
    assert found.description.tokens == expected.description.tokens
    for one, other in zip(
        found.tokenizer(["a red", "x " * 40, ""]),
        expected.tokenizer(["a red", "x " * 40, ""]),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_from_transformers_to_ours_and_back(there, model, tmp_path):
    """Every file of weights and settings that is written twice is the same."""
    endpoints.write(f"vlp:{tmp_path / 'ours'}", model)
    ours = endpoints.read(f"vlp:{tmp_path / 'ours'}")
    assert_same_model(ours, model)
    assert ours.description == model.description
    for name in ("one", "two"):
        endpoints.write(f"hf:{tmp_path / name}", model)
    one, two = (fingerprint(tmp_path / name) for name in ("one", "two"))
    assert one == two
    again = endpoints.read(f"hf:{tmp_path / 'one'}")
    assert_same_model(again, model)
    theirs = fingerprint(there)
    same = {name for name in one if one[name] == theirs.get(name)}
    assert same >= {"preprocessor_config.json", "tokenizer.json"}
    assert one.keys() == theirs.keys()


def test_a_run_becomes_an_endpoint_with_its_step(tmp_path):
    run, _ = saved(tmp_path / "run", 5, name="mine", model__text__pool="first_eos")
    run.store.close()
    found = endpoints.read(str(tmp_path / "run"))
    assert (found.name, found.step) == ("mine", 5)
    endpoints.write(f"vlp:{tmp_path / 'copy'}", found)
    copy = endpoints.read(f"vlp:{tmp_path / 'copy'}")
    assert (copy.name, copy.step) == ("mine", 5)
    assert_same_model(copy, found)
    average = endpoints.read(str(tmp_path / "run"), "ema")
    path = "image/class_token"
    assert (average.parameters[path] != found.parameters[path]).any()


RESNET = dict(kind="modified_resnet", depths=(1, 1), stem_width=8, width=32)


@pytest.mark.long
def test_a_run_with_running_statistics(tmp_path):
    """They travel with the parameters, and are none of them."""
    tower = {f"model__image__{key}": value for key, value in RESNET.items()}
    no_vit = dict.fromkeys(f"model__image__{key}" for key in ("patch_size", "heads"))
    tower |= no_vit | {"model__image__depth": None, "model__project_image": False}
    run, state = saved(tmp_path / "run", 5, **tower)
    run.store.close()
    path = "image/stage_2/block_0/conv_1/norm/variance"
    found = endpoints.read(str(tmp_path / "run"))
    assert found.variables().keys() == {"params", "batch_stats"}
    assert found.count() == run.parameters(state)
    assert path in trees.flatten(found.variables()["batch_stats"])
    odd = dict(found.parameters)  # as training leaves them
    odd[path] = odd[path] + np.linspace(0, 1, len(odd[path]), dtype=np.float32)
    found = dataclasses.replace(found, parameters=odd)
    assert path in endpoints.read(str(tmp_path / "run"), "ema").parameters
    endpoints.write(f"vlp:{tmp_path / 'copy'}", found)
    assert_same_model(endpoints.read(f"vlp:{tmp_path / 'copy'}"), found)
    loaded = trained.load_checkpoint(str(tmp_path / "copy"), 8, "model")
    assert loaded.parameters == found.count()
    picture = np.random.default_rng(0).integers(0, 256, (1, 24, 24, 3), np.uint8)
    expected = loaded.predictor.encode_image(picture)
    mesh = loaded.predictor.mesh
    np.testing.assert_array_equal(
        found.predictor(mesh, 8).encode_image(picture), expected
    )
    endpoints.write(f"export:{tmp_path / 'programs'}", found)
    assert proof.prove("export", tmp_path / "programs", found)[0].holds


def test_ready_for_use_on_all_devices(there, model, tmp_path):
    """A foreign model belongs to no run, and neither does a copy of one."""
    pictures = np.zeros((3, 12, 12, 3), np.uint8)
    endpoints.write(f"vlp:{tmp_path / 'ours'}", model)
    foreign = endpoints.load(f"hf:{there}", 5)
    ours = endpoints.load(str(tmp_path / "ours"), 5)
    assert foreign.path == f"hf:{there}" and ours.path == tmp_path / "ours"
    for found in (foreign, ours):
        assert found.workdir is None and found.step == 0
        assert found.parameters == sum(x.size for x in model.parameters.values())
        assert found.predictor.batch_size == 8  # of as many devices
    np.testing.assert_array_equal(
        foreign.predictor.encode_image(pictures), ours.predictor.encode_image(pictures)
    )
    assert_refused(lambda: endpoints.load(f"hf:{there}", 5, "ema"), "one set", "'ema'")


def test_a_target_that_is_there(model, tmp_path):
    (tmp_path / "mine").mkdir()
    for form in endpoints.FORMATS:
        target = f"{form}:{tmp_path / 'mine'}"
        write = functools.partial(endpoints.write, target, model)
        assert_refused(write, "is there already", "another")
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("form", ["hf", "vlp"])
def test_a_folder_that_cannot_be_made(model, tmp_path, form):
    (tmp_path / "file").touch()
    target = f"{form}:{tmp_path / 'file' / 'new'}"
    assert_refused(
        lambda: endpoints.write(target, model), "cannot be written", str(tmp_path)
    )


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError])
def test_whole_or_not_at_all(model, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(endpoints, "save_standalone", fail)
    with pytest.raises(ConfigError if isinstance(error, OSError) else KeyError) as e:
        endpoints.write(f"hf:{tmp_path / 'new'}", model)
    assert not isinstance(error, OSError) or "No space left" in str(e.value)
    assert list(tmp_path.iterdir()) == []


def test_what_a_format_cannot_say_leaves_nothing(model, tmp_path):
    settings = dict(model.description.model)
    other = portable.from_settings(
        "mine",
        settings | {"image": settings["image"]},
        model.description.preprocessing,
        model.tokenizer,
        model.parameters,
    )
    other.config.model.text.pool = "largest" if settings["logit_bias_init"] else "last"
    assert_refused(lambda: endpoints.write(f"hf:{tmp_path / 'new'}", other), "pool")
    assert list(tmp_path.iterdir()) == []


def test_one_set_of_weights(there):
    assert_refused(lambda: endpoints.read(f"hf:{there}", "ema"), "one set", "'ema'")


def test_a_folder_that_is_not_there(tmp_path):
    gone = tmp_path / "gone"
    assert_refused(lambda: endpoints.read(f"hf:{gone}"), str(gone), "config.json")
    assert_refused(lambda: endpoints.read(f"open_clip:{gone}"), "open_clip_config.json")
    assert_refused(lambda: endpoints.read(f"vlp:{gone}"), "no checkpoint at", str(gone))


# ---- parts of a folder that belong to different models


@pytest.fixture
def folder(tmp_path):
    return save(clip(), tmp_path / "theirs")


def test_no_tokenizer(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert_refused(lambda: endpoints.read(f"hf:{folder}"), "tokenizer", str(folder))


def test_a_tokenizer_of_another_vocabulary(folder):
    larger = Tokenizer.train(["some other words"] * 9, 290, 16)
    larger.save(folder)
    said = f"says {tokenizer().vocab_size} tokens, and the tokenizer has "
    assert_refused(lambda: endpoints.read(f"hf:{folder}"), f"{said}{larger.vocab_size}")


NONSENSE = {
    "nothing": dict(model_cfg__embed_dim=None),
    "a word": dict(model_cfg__vision_cfg__width="x"),
    "a word in the text tower": dict(model_cfg__text_cfg__layers="x"),
    "nought": dict(model_cfg__vision_cfg__head_width=0),
    "a list": dict(model_cfg__text_cfg__pool_type=["eos"]),
    "a list for settings": dict(preprocess_cfg=[1]),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_configs_without_sense_are_named(folder, tmp_path, case):
    ours = endpoints.read(f"hf:{folder}")
    there = endpoints.write(f"open_clip:{tmp_path / 'there'}", ours)
    change_json(there / "open_clip_config.json", **NONSENSE[case])
    said = ("open_clip_config.json", "fetch it again")
    assert_refused(lambda: endpoints.read(f"open_clip:{there}"), *said)


def test_a_config_of_another_vocabulary(folder, tmp_path):
    there = endpoints.write(
        f"open_clip:{tmp_path / 'there'}", endpoints.read(f"hf:{folder}")
    )
    change_json(
        there / "open_clip_config.json", model_cfg__text_cfg__vocab_size=None
    )  # open_clip's default
    assert_refused(lambda: endpoints.read(f"open_clip:{there}"), "says 49,408 tokens")
    change_json(folder / "config.json", text_config__vocab_size=500)
    assert_refused(
        lambda: endpoints.read(f"hf:{folder}"), "config.json says 500 tokens"
    )


def test_a_tokenizer_with_another_end(folder):
    """transformers would pool at a token that no text has."""
    change_json(folder / "config.json", text_config__eos_token_id=7)
    assert_refused(
        lambda: endpoints.read(f"hf:{folder}"), "at the token 7", "ends them with 3"
    )
    change_json(folder / "config.json", text_config__eos_token_id=2)  # largest id
    assert endpoints.read(f"hf:{folder}").model().text.pool == "largest_id"


def test_another_end_for_open_clip(folder, tmp_path):
    there = endpoints.write(
        f"open_clip:{tmp_path / 'there'}", endpoints.read(f"hf:{folder}")
    )
    config = there / "open_clip_config.json"
    assert json.loads(config.read_text())["model_cfg"]["text_cfg"]["eos_id"] == 3
    change_json(config, model_cfg__text_cfg__eos_id=None)
    assert_refused(lambda: endpoints.read(f"open_clip:{there}"), "at the token 2")


def test_weights_of_another_model(folder, tmp_path):
    other = save(clip(vision=dict(hidden_size=12)), tmp_path / "other")
    (folder / "model.safetensors").write_bytes(
        (other / "model.safetensors").read_bytes()
    )
    assert_refused(lambda: endpoints.read(f"hf:{folder}"), "(expected [24], got [12])")
    assert hf.read(other)[0]["image"]["width"] == 12

"""A model without a format: described, checked against its parts, and computed."""

import jax
import numpy as np
import pytest

from tests.porting.tiny_models import (
    assert_refused,
    assert_same_bits,
    clip,
    save,
    tokenizer,
)
from tests.saved_runs import saved
from vlp_jax import endpoints, portable
from vlp_jax.checkpoint.steps import step_folder
from vlp_jax.core import trees
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.porting import hf
from vlp_jax.porting.description import Tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(clip(), tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def parts(folder):
    """(model settings, preprocessing, parameters) of a model of transformers."""
    return hf.read(folder)


def made(parts, words=None, **parameters):
    model, preprocessing, found = parts
    return portable.from_settings(
        "mine", model, preprocessing, words or tokenizer(), found | parameters
    )


def test_it_is_described_as_the_tables_see_it(parts):
    found = made(parts)
    model, preprocessing, _ = parts
    assert found.name == "mine" and found.step == 0
    assert found.description.preprocessing == preprocessing
    assert found.description.tokens == Tokens(
        tokenizer().vocab_size, 16, eos_id=3, bos_id=2, pad_id=0, canonicalise="none"
    )
    described = found.description.model
    for tower in ("image", "text"):
        assert described[tower].items() >= model[tower].items()
    assert described["embedding_size"] == 12
    assert described["logit_bias_init"] is None  # as the recipe leaves it
    assert found.config.tokenizer.length == 16


def test_its_parameters_are_those_of_the_model(parts):
    found = made(parts).model()
    assert found.image.mlp_ratio == 4 and found.text.pool == "first_eos"
    assert found.image_mean == parts[1]["mean"]


def refused(parts, *said, **changes):
    assert_refused(lambda: made(parts, **changes), *said)


def test_a_tokenizer_of_another_model(parts):
    larger = Tokenizer.train(["some other words"] * 9, 290, 16)
    known, rows = larger.vocab_size, tokenizer().vocab_size
    said = f"has {known} tokens and the model {rows} token embeddings"
    assert known != rows
    refused(parts, said, "mine", words=larger)


def test_parameters_of_another_model(parts):
    wrong = {"image/class_token": np.zeros(7, np.float32), "extra": np.zeros(1)}
    refused(parts, "image/class_token (expected [24], got [7])", **wrong)
    refused(parts, "1 unexpected: extra", **wrong)


def test_a_length_of_another_model(parts):
    """A tokenizer of the right vocabulary that gives other lengths."""
    short_texts = Tokenizer(tokenizer()._pretrained, 9)
    refused(parts, "text/position_embedding (expected [9, 16]", words=short_texts)


def test_it_computes_on_a_mesh_of_one_device(parts):
    model = made(parts)
    mesh = jax.sharding.Mesh(
        np.array(jax.devices()[:1]).reshape(1, 1, 1), ("data", "fsdp", "tensor")
    )
    found = model.predictor(mesh, 4).encode_text(["a cat", "a dog"])
    assert found.shape == (2, 12)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("weights", ["model", "ema"])
def test_parameters_of_a_checkpoint_of_ours(tmp_path, weights):
    run, state = saved(tmp_path, 5)
    run.store.close()
    tree = state.params if weights == "model" else state.ema
    expected = {k: np.asarray(v) for k, v in trees.flatten(tree).items()}
    found = portable.read_parameters(step_folder(tmp_path, 5), weights)
    assert_same_bits(found, expected)
    assert_same_bits(endpoints.read(f"vlp:{tmp_path}", weights).parameters, expected)

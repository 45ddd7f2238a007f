"""Results are the same on one device and on eight, in full batches and ragged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny_writer
from tests.models.tiny_writer import ANSWERS, QUESTIONS
from tests.parallel.tiny_clip import tiny_init, tiny_model
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.predictor import ModelPredictor
from vlp_jax.models.ranking import likeliest
from vlp_jax.parallel.mesh import MeshSpec


def tokenize(texts):
    tokens = np.full((len(texts), 6), 3, np.int32)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = [4 + ord(letter) % 60 for letter in text]
    return tokens, np.ones(tokens.shape, bool)


def predictor(devices, batch_size):
    mesh = MeshSpec(devices).make(jax.devices()[:devices])
    variables = jax.jit(tiny_init())(jax.random.key(0))
    return ModelPredictor(
        tiny_model(), variables, np.asarray, tokenize, mesh, batch_size
    )


PICTURES = np.random.default_rng(0).integers(0, 256, (21, 8, 8, 3)).astype(np.uint8)
TEXTS = [f"{n:b}" for n in range(13)]


def test_devices_and_batches_do_not_matter():
    alone = predictor(1, 64)
    image, text = alone.encode_image(PICTURES), alone.encode_text(TEXTS)
    assert image.shape == (21, 64) and text.shape == (13, 64)
    np.testing.assert_allclose(np.linalg.norm(image, axis=1), 1, rtol=1e-5)
    shared = predictor(8, 10)
    assert shared.batch_size == 16  # what eight devices can share
    np.testing.assert_allclose(shared.encode_image(PICTURES), image, atol=1e-5)
    np.testing.assert_allclose(shared.encode_text(TEXTS), text, atol=1e-5)


def test_texts_become_tokens_a_batch_at_a_time():
    """So that those of a large gallery never exist at once."""
    made, asked = predictor(1, 4), []
    made.tokenize = lambda texts: asked.append(texts) or tokenize(texts)
    assert made.encode_text(TEXTS).shape == (13, 64)
    assert asked == [TEXTS[:4], TEXTS[4:8], TEXTS[8:12], TEXTS[12:]]


def test_other_weights_take_the_compiled_functions():
    first = predictor(1, 8)
    image = first.encode_image(PICTURES[:8])
    second = first.with_variables(jax.tree.map(lambda x: 2 * x, first.variables))
    assert np.abs(second.encode_image(PICTURES[:8]) - image).max() > 1e-3
    np.testing.assert_array_equal(first.encode_image(PICTURES[:8]), image)
    assert first._image is second._image and first._image._cache_size() == 1


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="batch_size is 0; expected at least 1"):
        predictor(1, 0)


@pytest.fixture(scope="module")
def alone():
    return tiny_writer.predictor(1, 64)


@pytest.fixture(scope="module")
def shared():
    return tiny_writer.predictor(8, 10)


@pytest.fixture(scope="module")
def chooser():
    return tiny_writer.predictor(8, 10, ANSWERS)


def test_matching_on_any_devices(alone, shared):
    tokens = alone.image_tokens(PICTURES)
    assert tokens.shape == (21, 4, 16)
    np.testing.assert_allclose(shared.image_tokens(PICTURES), tokens, atol=1e-5)
    found = alone.match(tokens, QUESTIONS)
    assert found.shape == (21,) and found.dtype == np.float32
    assert 0 < found.min() < 0.4 and 0.6 < found.max() < 1
    np.testing.assert_allclose(shared.match(tokens, QUESTIONS), found, atol=1e-5)
    model, variables = tiny_writer.model_and_variables()
    words = tiny_writer.tokenizer()(QUESTIONS)
    match = jax.jit(lambda *x: model.apply(*x, method="match"))
    logits = np.asarray(match(variables, tokens, *words), np.float64)
    odds = np.exp(logits[:, 1] - logits[:, 0])
    np.testing.assert_allclose(found, odds / (1 + odds), rtol=1e-5)


def test_writing_on_any_devices(alone, shared):
    found = alone.generate(PICTURES, length=6)
    assert len(found) == 21 and len(set(found)) > 8
    assert shared.generate(PICTURES, length=6) == found
    assert alone.generate(PICTURES, length=6, prompt="two red dogs") != found
    assert alone.generate(PICTURES, length=6, method="greedy") != found


def test_a_sample_depends_on_its_row_and_the_seed_alone(alone, shared):
    settings = dict(method="sample", length=6, temperature=0.5)
    found = alone.generate(PICTURES, **settings)
    assert shared.generate(PICTURES, **settings) == found
    assert alone.generate(PICTURES, seed=1, **settings) != found
    same = alone.generate(np.repeat(PICTURES[:1], 8, axis=0), **settings)
    assert len(set(same)) > 4


def test_other_weights_and_pictures_take_the_compiled_search(alone):
    first = alone.generate(PICTURES, length=5)
    size = alone._writer.write._cache_size()
    variables = jax.tree.map(lambda x: -x, alone.variables)
    other = alone.with_variables(variables).generate(PICTURES[:9], length=5)
    assert other != first[:9]
    assert alone._writer.write._cache_size() == size


def test_answers_that_are_classes(chooser):
    found = chooser.answer(PICTURES, QUESTIONS)
    assert set(found) == set(ANSWERS)
    fewer = chooser.answer(PICTURES, QUESTIONS, ["a dog", "two"])
    assert set(fewer) == {"a dog", "two"}
    assert all(a == b for a, b in zip(fewer, found, strict=True) if b != "red")
    with pytest.raises(ConfigError, match="'rde' is none of the 3 .*mean 'red'"):
        chooser.answer(PICTURES, QUESTIONS, ["rde"])
    with pytest.raises(ConfigError, match="chosen from a list here.*out beams"):
        chooser.answer(PICTURES, QUESTIONS, beams=2)


def test_the_likeliest_class_by_hand():
    logits = np.array([[0.0, 3.0, 1.0], [2.0, 1.0, 5.0]], np.float32)
    assert likeliest(logits, ("a", "b", "c"), None) == ["b", "c"]
    assert likeliest(logits, ("a", "b", "c"), ["b", "a"]) == ["b", "a"]


CANDIDATES = ["a dog", "two birds", "red", "what", "two red dogs", "of it", "2"]


def test_answers_from_a_list(alone, shared):
    """Equal to the likelihood of each candidate, all of it read at once."""
    found = alone.answer(PICTURES, QUESTIONS, CANDIDATES)
    assert len(set(found)) > 2
    assert shared.answer(PICTURES, QUESTIONS, CANDIDATES) == found

    model, variables = tiny_writer.model_and_variables()
    words = tiny_writer.tokenizer()(QUESTIONS)
    tokens, mask = tiny_writer.tokenizer()(CANDIDATES)

    def log_p(variables, pictures, questions, tokens, mask):
        def of_picture(context):
            context = jnp.broadcast_to(context, (len(tokens), *context.shape))
            logits = model.apply(variables, context, tokens, method="caption_logits")
            logits = jax.nn.log_softmax(logits[:, :-1])
            found = jnp.take_along_axis(logits, tokens[:, 1:, None], axis=2)[..., 0]
            return (found * mask[:, 1:]).sum(axis=1)

        patches = model.apply(variables, pictures, method="image_tokens")
        contexts = model.apply(variables, patches, *questions, method="start")
        return jax.lax.map(of_picture, contexts)

    scores = jax.jit(log_p)(variables, PICTURES, words, tokens, mask)
    assert found == [CANDIDATES[i] for i in np.argmax(scores, axis=1)]


def test_answers_that_are_written(alone, shared):
    found = alone.answer(PICTURES, QUESTIONS, length=5)
    assert len(set(found)) > 8
    assert shared.answer(PICTURES, QUESTIONS, length=5) == found
    assert alone.answer(PICTURES, QUESTIONS[::-1], length=5) != found
    assert alone.generate(PICTURES, length=5) != found


def test_a_model_says_what_it_cannot_do(alone, chooser):
    embeds = predictor(1, 8)
    abilities = ("embed", "match", "generate", "answer")
    assert [embeds.can(name) for name in abilities] == [True, False, False, False]
    assert [alone.can(name) for name in abilities] == [False, True, True, True]
    assert [chooser.can(name) for name in abilities] == [False, True, False, True]
    unanswered = ModelPredictor(
        chooser.model, chooser.variables, np.asarray, tokenize, chooser.mesh, 8
    )
    assert not unanswered.can("answer")  # it was told no classes
    with pytest.raises(ConfigError, match="TinyWriter cannot embed: it has no"):
        alone.encode_image(PICTURES)
    with pytest.raises(ConfigError, match="TwoTower cannot match: it has no head"):
        embeds.match(PICTURES, TEXTS)
    with pytest.raises(ConfigError, match="TwoTower cannot generate: .* no decoder"):
        embeds.generate(PICTURES)
    with pytest.raises(ConfigError, match="TwoTower cannot answer: .* nor classes"):
        embeds.answer(PICTURES, QUESTIONS)
    with pytest.raises(ConfigError, match="unknown ability of a model 'caption'"):
        embeds.can("caption")


def test_pictures_and_texts_come_in_pairs(alone):
    with pytest.raises(ConfigError, match="21 pictures came with 3 questions"):
        alone.answer(PICTURES, QUESTIONS[:3])
    with pytest.raises(ConfigError, match="2 pictures came with 3 texts"):
        alone.match(np.zeros((2, 4, 16), np.float32), QUESTIONS[:3])

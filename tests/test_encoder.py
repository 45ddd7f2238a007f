"""An encoder of any endpoint: pictures of every form and strings in, embeddings out."""

import io
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import vlp_jax
from tests.models import tiny_writer
from tests.models.tiny_writer import PICTURES, QUESTIONS
from tests.porting.tiny_models import (
    assert_refused,
    clip,
    save,
    siglip,
)
from vlp_jax import endpoints, proof
from vlp_jax.core.errors import BadSample
from vlp_jax.encoder import Encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(clip(), tmp_path_factory.mktemp("clip") / "theirs")


@pytest.fixture(scope="module")
def encoder(folder):
    return vlp_jax.load(f"hf:{folder}", batch_size=8)


def test_it_is_the_model_of_the_endpoint(folder, encoder):
    expected = proof.ours(endpoints.read(f"hf:{folder}")).outputs
    pictures, texts = proof.samples()
    assert len(texts) > 8  # more than one batch
    found = encoder.encode_image(pictures), encoder.encode_text(texts)
    np.testing.assert_allclose(found[0], expected["image_embedding"], atol=1e-5)
    np.testing.assert_allclose(found[1], expected["text_embedding"], atol=1e-5)
    assert found[0].dtype == np.float32 and found[0].shape == (len(pictures), 12)
    np.testing.assert_allclose(np.linalg.norm(found[1], axis=1), 1, rtol=1e-5)
    assert encoder.name == "theirs"
    assert abs(encoder.logit_scale - np.exp(2.0)) < 1e-4 and encoder.logit_bias == 0


def test_a_bias_of_the_logits(tmp_path):
    found = vlp_jax.load(f"hf:{save(siglip(), tmp_path)}")
    assert found.logit_bias == -2 and abs(found.logit_scale - np.exp(1.5)) < 1e-4


def test_an_endpoint_without_a_tokenizer(folder, encoder, tmp_path):
    for path in folder.iterdir():
        if not path.name.startswith("tokenizer"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    found = vlp_jax.load(f"hf:{tmp_path}", batch_size=8, tokenizer=str(folder))
    expected = encoder.encode_text(["a cat", "a dog"])
    np.testing.assert_array_equal(found.encode_text(["a cat", "a dog"]), expected)


def test_every_form_of_a_picture(encoder, tmp_path):
    picture = proof.samples()[0][0]
    image, path = Image.fromarray(picture), tmp_path / "a.png"
    image.save(path)
    content = io.BytesIO()
    image.save(content, "PNG")
    forms = [picture, image, path, str(path), path.read_bytes(), content.getvalue()]
    (expected,) = encoder.encode_image(picture)
    for form in forms:
        found = encoder.encode_image(form)
        assert found.shape == (1, 12)
        np.testing.assert_allclose(found[0], expected, atol=1e-6)
    np.testing.assert_allclose(
        encoder.encode_image(form for form in forms), [expected] * 6, atol=1e-6
    )
    batch = np.stack([picture, picture[::-1]])
    found = encoder.encode_image(batch)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    assert np.abs(found[1] - expected).max() > 1e-3


def test_a_picture_as_the_model_sees_it(encoder):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (37, 53, 3), np.uint8)
    seen = encoder.prepare_image(Image.fromarray(picture))
    assert seen.dtype == np.uint8 and seen.shape[0] == seen.shape[1]
    found = encoder.encode_image([picture, seen])
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)
    with pytest.raises(BadSample, match="image_unreadable"):
        encoder.prepare_image(b"no picture")
    assert encoder.batch_size == 8


def test_one_string_several_and_none(encoder):
    (one,) = encoder.encode_text("a cat")
    both = encoder.encode_text(("a dog", "a cat"))
    np.testing.assert_allclose(both[1], one, atol=1e-6)
    assert encoder.encode_text([]).shape == encoder.encode_image([]).shape == (0, 12)
    shown = encoder.encode_text(["a cat"] * 9, progress=True)
    np.testing.assert_allclose(shown, [one] * 9, atol=1e-6)


def test_what_cannot_be_encoded_is_named(encoder, tmp_path):
    good, gone = proof.samples()[0][0], tmp_path / "gone.png"
    (tmp_path / "text.png").write_text("no picture")
    encode = encoder.encode_image
    assert_refused(
        lambda: encode([good] * 9 + [gone]), "picture 9", str(gone), "No such file"
    )
    assert_refused(
        lambda: encode(tmp_path / "text.png"), "picture 0", "text.png", "used"
    )
    assert_refused(lambda: encode([good, b""]), "picture 1 cannot be used: image_empty")
    assert_refused(lambda: encode(good.astype(float)), "picture 0", "expected uint8")
    assert_refused(lambda: encode([good, None]), "picture 1 is a NoneType; expected")
    assert_refused(lambda: encoder.encode_text(["a", 3]), "got 3; expected strings")


@pytest.fixture(scope="module")
def teller():
    """Of a model that cannot embed, and has no scale."""
    model = SimpleNamespace(
        name="teller",
        parameters={},
        predictor=lambda mesh, size: tiny_writer.predictor(1, size),
    )
    return Encoder(model, batch_size=8)


def test_matches(teller):
    tokens = teller._predictor.image_tokens(PICTURES)
    expected = teller._predictor.match(tokens, QUESTIONS)
    found = teller.match(list(PICTURES), QUESTIONS)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    of_one = teller.match(PICTURES[3], QUESTIONS)
    assert of_one.shape == (21,) and abs(of_one[3] - expected[3]) < 1e-6
    by_one = teller.match(PICTURES, QUESTIONS[3])
    assert by_one.shape == (21,) and abs(by_one[3] - expected[3]) < 1e-6
    assert teller.match([], []).shape == (0,)
    assert_refused(lambda: teller.match(PICTURES[:2], QUESTIONS), "2 pictures", "21")
    assert_refused(lambda: teller.match(PICTURES[:1], [None]), "match got None")


def test_captions_and_answers(teller):
    expected = teller._predictor.generate(PICTURES, length=5)
    assert teller.generate(iter(PICTURES), length=5) == expected
    assert teller.generate(PICTURES[2], length=5) == expected[2:3]
    assert teller.generate([]) == [] and teller.answer([], []) == []
    answers = teller._predictor.answer(PICTURES, QUESTIONS, ["two", "red"])
    assert teller.answer(PICTURES, QUESTIONS, ["two", "red"]) == answers
    (one,) = teller.answer(PICTURES[0], "what is 0 of it", length=5)
    assert one == teller._predictor.answer(PICTURES, QUESTIONS, length=5)[0]


def test_what_a_model_can_do(encoder, teller):
    assert encoder.can("embed") and not encoder.can("generate")
    assert not teller.can("embed") and teller.can("generate")
    assert teller.logit_scale == 1 and teller.logit_bias == 0
    picture = proof.samples()[0][0]
    assert_refused(lambda: encoder.match(picture, "a"), "a TwoTower cannot match")
    assert_refused(lambda: encoder.generate(picture), "TwoTower cannot generate")
    assert_refused(lambda: encoder.answer(picture, "a?"), "TwoTower cannot answer")
    assert_refused(lambda: teller.encode_text("a"), "a TinyWriter cannot embed")


def test_an_endpoint_that_is_not_there(tmp_path):
    assert_refused(lambda: vlp_jax.load(str(tmp_path / "x")), "no checkpoint at", "/x")
    assert_refused(lambda: vlp_jax.load("hff:x"), "'hff:x' is no endpoint")


def test_the_package_begins_without_jax():
    code = "import sys, vlp_jax; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        vlp_jax.lode  # noqa: B018

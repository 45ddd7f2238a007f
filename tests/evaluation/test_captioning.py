"""Captioning with models whose captions are known."""

import numpy as np
import pytest

from tests.evaluation.metrics.captions import EXPECTED, GUESSES, REFERENCES
from tests.evaluation.predictors import Able, Samples, plain
from vlp_jax.core.errors import BadSample
from vlp_jax.core.types import Example
from vlp_jax.evaluation.captioning import Captioning, caption_scores


@pytest.fixture
def source():
    examples = [
        Example(plain(n), captions=tuple(texts)) for n, texts in enumerate(REFERENCES)
    ]
    return Samples(*examples[:2], BadSample("image_empty"), *examples[2:])


def writer(source, text=None):
    written = dict(enumerate(GUESSES[:2] + [None] + GUESSES[2:]))
    return Able(
        source.pictures,
        batch_size=3,
        generate=lambda number, decoding: written[number] if text is None else text,
    )


def test_scores_are_those_of_the_set(source):
    report = Captioning(source).run(writer(source))
    assert (report.task, report.dataset) == ("captioning", "samples")
    expected = {f"Bleu_{n}": x for n, x in enumerate(EXPECTED["bleu"], 1)}
    expected["ROUGE_L"] = np.mean(EXPECTED["rouge"])
    expected["CIDEr"] = np.mean(EXPECTED["cider"])
    assert report.metrics == pytest.approx(expected, abs=1e-9)
    assert list(report.metrics) == list(expected)
    assert report.details["skipped"] == {"image_empty": 1}
    assert report.details["samples"] == 4


def test_the_gallery_goes_from_the_best_to_the_worst(source):
    shown = Captioning(source, gallery=3).run(writer(source)).details["gallery"]
    assert [x["cider"] for x in shown] == pytest.approx(
        [EXPECTED["cider"][n] for n in (3, 0, 1)]
    )
    assert shown[0]["caption"] == GUESSES[3]
    assert shown[0]["references"] == REFERENCES[3] and shown[0]["right"] is None
    assert np.array_equal(shown[0]["picture"], plain(3))


def test_a_source_that_can_tell_right_captions(source):
    asked = []

    def check_caption(index, caption):
        asked.append((index, caption))
        return "red" in caption

    source.check_caption = check_caption
    report = Captioning(source).run(writer(source))
    assert report.metrics["exact"] == 0.5
    assert asked == list(zip((0, 1, 3, 4), GUESSES, strict=True))
    assert {x["right"] for x in report.details["gallery"]} == {True, False}


def test_settings_of_decoding_reach_the_model(source):
    predictor = writer(source)
    asked = []
    predictor.abilities["generate"] = lambda number, given: asked.append(given) or "a"
    Captioning(source, limit=1).run(predictor)
    Captioning(source, limit=1, prompt="a photo of", beams=1, max_length=9).run(
        predictor
    )
    assert asked == [{}, {"prompt": "a photo of", "beams": 1, "length": 9}]


def test_a_model_that_says_nothing_scores_nothing(source):
    found = Captioning(source).run(writer(source, text="")).metrics
    assert found == pytest.approx(dict.fromkeys(found, 0), abs=1e-9)


def test_case_and_punctuation_do_not_count():
    metrics, of_each = caption_scores(
        ["A man's dog.", "Two cats!"], [["a man's dog"], ["two cats"]]
    )
    assert (metrics["Bleu_2"], metrics["ROUGE_L"]) == pytest.approx((1, 1))
    assert of_each == pytest.approx([10, 5])  # 'two cats' has no longer n-grams

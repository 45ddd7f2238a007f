"""Matching with a model that knows, one that guesses, and one with a weakness."""

import numpy as np
import pytest

from tests.evaluation.predictors import Able, Samples, plain
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.types import Example
from vlp_jax.evaluation.matching import Matching


def sample(number, captions, negatives, kinds=()):
    return Example(plain(number), tuple(captions), (), tuple(negatives), tuple(kinds))


@pytest.fixture
def source():
    return Samples(
        sample(0, ["r0", "s0"], ["c0", "d0", "p0"], ["colour", "digit", "place"]),
        sample(1, ["r1"], ["c1", "d1"], ["colour", "digit"]),
        BadSample("image_missing"),
        sample(3, ["r3"], []),
        sample(4, ["r4", "s4"], ["c4"], ["colour"]),
    )


def judge(source, match, batch_size=2):
    return Able(source.pictures, batch_size, match=match)


def test_a_model_that_knows(source):
    asked = []

    def match(number, text):
        asked.append((number, text))
        return 0.9 if text[0] in "rs" else 0.1

    report = Matching(source).run(judge(source, match))
    assert (report.task, report.dataset) == ("image_text_matching", "samples")
    assert report.metrics == {
        name: 1.0
        for name in (
            "accuracy",
            "positive_accuracy",
            "negative_accuracy",
            "auc",
            "accuracy_colour",
            "accuracy_digit",
            "accuracy_place",
        )
    }
    # As many right as wrong ones, and in the same words.
    assert [text for number, text in asked if number == 0] == (
        ["r0", "c0", "r0", "d0", "r0", "p0"]
    )
    assert [text for number, text in asked if number == 4] == ["r4", "c4"]
    assert report.details["skipped"] == {"image_missing": 1, "caption_missing": 1}
    assert (report.details["samples"], report.details["pairs"]) == (3, 12)
    assert report.details["kinds"] == [
        {"name": "colour", "count": 3, "accuracy": 1.0},
        {"name": "digit", "count": 2, "accuracy": 1.0},
        {"name": "place", "count": 1, "accuracy": 1.0},
    ]
    assert report.details["mistakes"] == report.details["attention"] == []


def test_a_model_that_is_blind_to_a_kind(source):
    sure = {"c0": 0.6, "c1": 0.99, "c4": 0.8}

    def match(number, text):
        return sure.get(text, 0.9 if text[0] in "rs" else 0.1)

    report = Matching(source, gallery=2).run(judge(source, match))
    found = report.metrics
    assert found["accuracy"] == pytest.approx(9 / 12)
    assert found["positive_accuracy"] == 1
    assert found["negative_accuracy"] == pytest.approx(3 / 6)
    assert found["accuracy_colour"] == pytest.approx(3 / 6)
    assert found["accuracy_digit"] == 1
    # 6 positives at 0.9 against 6 negatives, of which one at 0.99.
    assert found["auc"] == pytest.approx(30 / 36)
    shown = [(x["caption"], x["fits"], x["kind"]) for x in report.details["mistakes"]]
    assert shown == [("c1", False, "colour"), ("c4", False, "colour")]
    assert np.array_equal(report.details["mistakes"][0]["picture"], plain(1))


@pytest.mark.parametrize("says", [0.0, 0.5, 1.0])
def test_always_the_same_is_right_half_of_the_time(source, says):
    found = Matching(source).run(judge(source, lambda number, text: says)).metrics
    assert found["accuracy"] == found["auc"] == 0.5
    assert found["positive_accuracy"] == (says > 0.5)  # even is no match


def test_kinds_that_are_not_told_have_no_metric():
    source = Samples(sample(0, ["r"], ["w", "v"]))
    report = Matching(source).run(judge(source, lambda number, text: 1.0))
    assert set(report.metrics) == {
        "accuracy",
        "positive_accuracy",
        "negative_accuracy",
        "auc",
    }


def test_only_a_batch_is_matched_at_a_time(source):
    predictor = judge(source, lambda number, text: 1.0, batch_size=4)
    Matching(source).run(predictor)
    assert predictor.asked == {"tokens": [3], "match": [4, 4, 4]}


def test_where_it_looks_for_the_words_of_right_captions(source):
    looked = []

    def attend(picture, text, word):
        looked.append((int(picture[0, 0, 0]), text, word))
        return np.eye(2, dtype=np.float32)

    source.examples = (sample(0, ["A red seven above the blue two."], ["no"]),)
    predictor = Able([plain(0)], match=lambda number, text: 1.0, attend=attend)
    shown = Matching(source, attention=3).run(predictor).details["attention"]
    assert [x["word"] for x in shown[0]["words"]] == [
        "red",
        "seven",
        "above",
        "blue",
        "two",
    ]
    assert looked[0] == (0, "A red seven above the blue two.", "red")
    assert shown[0]["words"][0]["heat"].tolist() == [[1, 0], [0, 1]]


def test_settings_are_checked(source):
    with pytest.raises(ConfigError, match="matching: limit is 0"):
        Matching(source, limit=0)

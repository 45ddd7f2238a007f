"""Question answering with models whose answers are known."""

import numpy as np
import pytest

from tests.evaluation.predictors import Able, Samples, plain
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.types import Example, Question
from vlp_jax.evaluation.answering import QuestionAnswering, known_answers


def asked(number, *questions):
    return Example(plain(number), questions=tuple(Question(*x) for x in questions))


TEN = ("red",) * 7 + ("Dark Red",) * 2 + ("blue",)


@pytest.fixture
def source():
    return Samples(
        asked(
            0,
            ("What colour is it?", TEN),
            ("what colour is that?", ("a blue",)),
            ("How many?", ("2",)),
        ),
        Example(plain(1)),
        asked(2, ("How many?", ())),
        BadSample("image_missing"),
        asked(4, ("Is it big?", ("yes",) * 10), ("how many?", ("two",) * 10)),
    )


def says(source, answer, batch_size=2):
    return Able(source.pictures, batch_size, answer=answer)


def test_accuracies_and_kinds(source):
    words = {"What colour is it?": "dark red", "Is it big?": "no"}

    def answer(number, question, candidates):
        assert candidates is None
        return words.get(question, "Two.")

    report = QuestionAnswering(source).run(says(source, answer))
    assert (report.task, report.dataset) == ("vqa", "samples")
    assert report.metrics == {
        "vqa_accuracy": pytest.approx((0.6 + 0 + 1 + 0 + 1) / 5),
        "exact_match": pytest.approx(2 / 5),
    }
    assert report.details["kinds"] == [
        {"name": "how many?", "count": 2, "accuracy": 1.0},
        {"name": "what colour", "count": 2, "accuracy": pytest.approx(0.3)},
        {"name": "is it", "count": 1, "accuracy": 0.0},
    ]
    assert report.details["skipped"] == {
        "question_missing": 1,
        "answer_missing": 1,
        "image_missing": 1,
    }
    assert (report.details["samples"], report.details["questions"]) == (2, 5)


def test_the_gallery_shows_right_and_wrong_ones(source):
    answer = {"What colour is it?": "red", "How many?": "2"}
    predictor = says(source, lambda n, question, c: answer.get(question, "perhaps"))
    shown = QuestionAnswering(source, gallery=4).run(predictor).details["gallery"]
    assert [x["accuracy"] > 0 for x in shown] == [True, False, True, False]
    assert shown[0]["question"] == "What colour is it?" and shown[0]["answer"] == "red"
    assert shown[0]["answers"] == [
        {"text": "red", "count": 7},
        {"text": "dark red", "count": 2},
        {"text": "blue", "count": 1},
    ]
    assert np.array_equal(shown[-1]["picture"], plain(4))


def test_candidates_of_the_source_of_a_file_or_given(source, tmp_path):
    (tmp_path / "answers.txt").write_text("red\nno\n")
    seen = []
    predictor = says(source, lambda n, q, candidates: seen.append(candidates) or "no")
    for given, expected in (
        ("answers", ("2", "blue", "dark red", "red", "yes")),
        (str(tmp_path / "answers.txt"), ("red", "no")),
        (("yes", "no"), ("yes", "no")),
    ):
        seen.clear()
        QuestionAnswering(source, candidates=given).run(predictor)
        assert set(seen) == {expected}
    with pytest.raises(ConfigError, match="did you mean 'answers'"):
        QuestionAnswering(source, candidates="answer")


def test_answers_are_read_without_pictures_where_a_source_can(source):
    assert known_answers(source, 3) == ("2", "blue", "dark red", "red")
    source.questions = lambda index: (Question("?", ("An apple", "the")),)
    source.examples = (RuntimeError("read"),)
    assert known_answers(source, 1) == ("apple", "the")


def test_questions_are_asked_a_batch_at_a_time(source):
    predictor = says(source, lambda number, question, candidates: "2", batch_size=4)
    QuestionAnswering(source).run(predictor)
    assert predictor.asked["answer"] == [4, 1]
    assert QuestionAnswering(source, limit=1).run(predictor).details["questions"] == 3

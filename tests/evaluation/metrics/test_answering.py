"""VQA's accuracy, by the challenge's formula."""

import itertools

import pytest

from vlp_jax.evaluation.metrics.answering import commonest, is_exact, vqa_accuracy


@pytest.mark.parametrize(
    ("right", "accuracy"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)]
)
def test_of_ten_answers(right, accuracy):
    answers = ["red"] * right + ["blue"] * (10 - right)
    assert vqa_accuracy("red", answers) == pytest.approx(accuracy)


def test_it_is_the_mean_over_nine_of_ten():
    answers = ["a dog"] * 3 + ["cat"] * 2 + ["dog"] + ["2"] * 4
    for guess in ("Dog.", "cat", "two", "mouse"):
        same = {"Dog.": {"a dog", "dog"}, "two": {"2"}}.get(guess, {guess})
        expected = [
            min(sum(answer in same for answer in nine) / 3, 1)
            for nine in itertools.combinations(answers, 9)
        ]
        assert vqa_accuracy(guess, answers) == pytest.approx(sum(expected) / 10)


def test_of_one_answer_it_is_right_or_wrong():
    assert vqa_accuracy("the Two", ["2"]) == 1
    assert vqa_accuracy("three", ["2"]) == 0


def test_exact_is_the_commonest_answer_and_the_first_of_equals():
    answers = ["cat", "a dog", "dog", "mouse"]
    assert commonest(answers) == "dog"
    assert is_exact("Dog", answers) and not is_exact("cat", answers)
    assert commonest(["cat", "dog"]) == "cat"

"""ROUGE-L by hand, and as pycocoevalcap computes it."""

import pytest

from tests.evaluation.metrics.captions import EXPECTED, tokens
from vlp_jax.evaluation.metrics.rouge import rouge_l


def test_as_pycocoevalcap():
    assert rouge_l(*tokens()) == pytest.approx(EXPECTED["rouge"], abs=1e-9)


def test_by_hand():
    """'a c' is common: precision 2/3, recall 2/4, (1 + 1.44) P R / (R + 1.44 P)."""
    found = rouge_l([list("axc")], [[list("abcd")]])
    assert found == pytest.approx([2.44 * (2 / 3) * 0.5 / (0.5 + 1.44 * 2 / 3)])


def test_the_best_precision_and_the_best_recall_may_be_of_two_references():
    guess = ["a", "b"]
    assert rouge_l([guess], [[["a"], ["a", "b", "c", "d"]]]) == pytest.approx([1])
    assert rouge_l([guess], [[["a"]]])[0] < 1


def test_texts_without_tokens():
    assert rouge_l([[], []], [[["a"]], [[]]]) == pytest.approx([0, 1])

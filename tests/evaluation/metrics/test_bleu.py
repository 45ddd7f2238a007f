"""BLEU by hand, and as pycocoevalcap computes it."""

import math

import pytest

from tests.evaluation.metrics.captions import EXPECTED, tokens
from vlp_jax.evaluation.metrics.bleu import bleu


def test_as_pycocoevalcap():
    assert bleu(*tokens()) == pytest.approx(EXPECTED["bleu"], abs=1e-9)


def test_a_reference_itself_is_right():
    text = "a man rides a wave".split()
    assert bleu([text], [[text, ["a"]]]) == pytest.approx([1, 1, 1, 1])


def test_by_hand():
    """The paper's example: 'the' counts twice, as often as in the first reference."""
    guess = ["the"] * 7
    own = ["the cat is on the mat".split(), "there is a cat on the mat".split()]
    found = bleu([guess], [own])
    assert found[0] == pytest.approx(2 / 7)  # 7 tokens, as the second: no penalty
    assert found[1] == pytest.approx(0, abs=1e-6)


def test_short_texts_pay_by_the_reference_closest_in_length():
    guess, long, short = ["a", "b"], list("abcd"), list("abc")
    assert bleu([guess], [[long, short]])[1] == pytest.approx(math.exp(1 - 3 / 2))
    # Equally close ones: the shorter, so that there is nothing to pay.
    assert bleu([list("abc")], [[list("ab"), list("abcd")]])[0] == pytest.approx(1)


def test_it_is_of_the_set_and_no_mean():
    """Three of four unigrams of the set, where the mean would be 1/2."""
    guesses = [["a", "b", "c"], ["x"]]
    found = bleu(guesses, [[["a", "b", "c"]], [["y"]]])
    assert found[0] == pytest.approx(3 / 4)


def test_nothing_written_scores_nothing():
    assert bleu([[]], [[["a"]]]) == pytest.approx([0, 0, 0, 0], abs=1e-9)

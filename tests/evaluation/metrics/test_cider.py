"""CIDEr by hand, and as pycocoevalcap computes it."""

import math

import pytest

from tests.evaluation.metrics.captions import EXPECTED, tokens
from vlp_jax.evaluation.metrics.cider import cider


def test_as_pycocoevalcap():
    assert cider(*tokens()) == pytest.approx(EXPECTED["cider"], abs=1e-9)


def test_by_hand():
    """'b' and 'c' tell two pictures apart, 'a' does not.

    For guess 'a b' against 'a b c': unigrams b against b, c is 1/sqrt(2); bigrams
    'a b' against 'a b', 'b c' likewise; no longer ones. One bigram less than there.
    """
    found = cider([["a", "b"], ["z"]], [[["a", "b", "c"]], [["a", "d"]]])
    expected = 10 * (2 / math.sqrt(2)) / 4 * math.exp(-1 / 72)
    assert found == pytest.approx([expected, 0])


def test_repetition_gains_nothing():
    references = [[["a", "b"]], [["c", "d"]]]
    once, twice = (cider([guess, ["c"]], references)[0] for guess in (["a"], ["a"] * 2))
    assert once > 0 and twice < once


def test_a_caption_that_only_one_picture_has_scores_ten():
    text = "a man rides a wave".split()
    found = cider([text, ["dog"]], [[text], [["a", "dog"]]])
    assert found[0] == pytest.approx(10) and 0 < found[1] < 10


def test_of_one_picture_nothing_tells_it_from_others():
    assert cider([["a", "b"]], [[["a", "b"]]]) == pytest.approx([0])
    assert not len(cider([], []))

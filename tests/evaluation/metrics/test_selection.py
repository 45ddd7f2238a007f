"""Scores of Winoground and SugarCrepe by hand, where ties are and where none is."""

import numpy as np
import pytest

from vlp_jax.evaluation.metrics.selection import selection_accuracy, selection_scores


def both(*instances) -> tuple[dict, dict]:
    scores = np.array(instances, float)
    return selection_accuracy(scores), selection_scores(scores)


# instance: [[image 0 with caption 0, with caption 1], [image 1 ...]], right by text,
# by image: in the papers' sense, where a tie is wrong.
PAIRS = {
    "all": ([[2, 1], [1, 2]], True, True),
    "text alone": ([[2, 1], [4, 5]], True, False),
    "image alone": ([[2, 5], [1, 6]], False, True),
    "none": ([[1, 2], [2, 1]], False, False),
    "a tie of two captions": ([[2, 2], [1, 3]], False, True),
    "a tie of two images": ([[2, 0], [2, 3]], True, False),
    "all equal": ([[1, 1], [1, 1]], False, False),
}


@pytest.mark.parametrize("case", PAIRS)
def test_winoground(case):
    scores, text, image = PAIRS[case]
    _, strict = both(scores)
    assert strict == {
        "text_score": float(text),
        "image_score": float(image),
        "group_score": float(text and image),
    }


def test_shares_of_several_pairs():
    _, strict = both(*(scores for scores, _, _ in PAIRS.values()))
    expected = {"text_score": 3 / 7, "image_score": 3 / 7, "group_score": 1 / 7}
    assert strict == pytest.approx(expected)


def test_clip_benchmarks_ties_go_to_the_first():
    """A tie of the first pair's own counts, one of the second's does not."""
    accuracy, _ = both(PAIRS["a tie of two captions"][0])
    assert accuracy == {"image_acc": 1.0, "text_acc": 1.0, "acc": 1.0}
    accuracy, _ = both([[3, 1], [2, 2]])
    assert accuracy == {"image_acc": 1.0, "text_acc": 0.0, "acc": 0.0}
    accuracy, _ = both(PAIRS["all equal"][0])
    assert accuracy == {"image_acc": 0.0, "text_acc": 0.0, "acc": 0.0}
    for case in ("all", "text alone", "image alone", "none"):
        accuracy, strict = both(PAIRS[case][0])
        assert list(accuracy.values()) == list(strict.values())


def test_sugar_crepe():
    """One image: right, wrong, equal, right."""
    accuracy, strict = both([[2, 1]], [[1, 2]], [[1, 1]], [[0, -1]])
    assert accuracy == {"image_acc": 1.0, "text_acc": 0.75, "acc": 0.75}
    assert strict["text_score"] == 0.5


def test_scores_that_are_not_finite_are_refused():
    for metric in (selection_accuracy, selection_scores):
        with pytest.raises(ValueError, match="1 of 1 rows hold NaN"):
            metric(np.array([[[np.nan, 1.0]]]))

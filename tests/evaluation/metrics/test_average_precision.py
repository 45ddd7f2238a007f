"""Average precision by hand, against scikit-learn, and with ties."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vlp_jax.evaluation.metrics.average_precision import (
    average_precision,
    mean_average_precision,
)

SCORES = np.array([[0.9, 0.1], [0.8, 0.1], [0.7, 0.3], [0.6, 0.2]])
TRUTH = np.array([[1, 0], [0, 1], [1, 0], [0, 0]], bool)


def test_by_hand():
    """Class 0: hits at 1 and 3: (1 + 2/3) / 2. Class 1: its hit enters with the last
    two of four together, at precision 1/4."""
    found = average_precision(SCORES, TRUTH)
    np.testing.assert_allclose(found, [5 / 6, 1 / 4], rtol=1e-12)
    assert mean_average_precision(found) == pytest.approx(13 / 24, abs=1e-12)


def test_classes_that_do_not_occur_are_left_out():
    truth = TRUTH & np.array([True, False])
    found = average_precision(SCORES, truth)
    assert np.isnan(found[1])
    assert mean_average_precision(found) == pytest.approx(5 / 6)
    assert np.isnan(mean_average_precision(found[1:]))


@pytest.mark.parametrize("levels", [3, 20, 10**9])
def test_it_is_scikit_learns_with_ties_and_without(levels):
    rng = np.random.default_rng(levels)
    scores = rng.integers(0, levels, (300, 7)).astype(np.float32)
    truth = rng.random((300, 7)) < rng.random(7)
    expected = [average_precision_score(truth[:, k], scores[:, k]) for k in range(7)]
    np.testing.assert_allclose(average_precision(scores, truth), expected, atol=1e-12)


def test_equal_scores_know_nothing():
    """The average precision is the share of positives, wherever they stand."""
    truth = np.array([[1], [0], [0], [0]], bool)
    for rolled in (truth, truth[::-1]):
        assert average_precision(np.ones((4, 1)), rolled) == 0.25


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="1 of 4 rows hold NaN"):
        average_precision(np.array([[1.0], [np.nan], [0.0], [0.0]]), TRUTH[:, :1])

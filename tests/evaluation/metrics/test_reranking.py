"""Ranks after the first answers are ordered anew."""

import numpy as np
import pytest

from vlp_jax.evaluation.metrics.reranking import reranked, reranked_ranks


def test_by_hand():
    scores = np.array([[0.1, 0.9, 0.5], [0.2, 0.7, 0.7], [0.3, 0.2, 0.1]])
    order = reranked(scores)
    assert order.tolist() == [[1, 2, 0], [1, 2, 0], [0, 1, 2]]
    is_right = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 0]], bool)
    found = reranked_ranks(np.array([0, 2, 17]), order, is_right)
    # The right ones come second and last: the better counts. Equal scores stay in
    # their order. Without a right one the rank stays.
    assert found.tolist() == [1, 1, 17]


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        reranked(np.array([[0.1, np.nan]]))

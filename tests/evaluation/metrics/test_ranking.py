"""Ranks against a stable sort: ties go to the lower index, tiles change nothing."""

import numpy as np
import pytest

from vlp_jax.evaluation.metrics import ranking, retrieval


def test_top_k_breaks_ties_by_the_lower_index():
    scores = np.array([[1.0, 3.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    assert ranking.top_k(scores, 3).tolist() == [[1, 2, 3], [0, 1, 2]]
    assert ranking.top_k(scores, 9).tolist() == [[1, 2, 3, 0], [0, 1, 2, 3]]
    assert scores[0, 1] == 3.0  # the caller's array is left alone


def test_top_k_equals_a_stable_sort():
    scores = np.random.default_rng(0).integers(0, 6, (50, 30)).astype(np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(ranking.top_k(scores, 7), expected)


def brute_force_recall(scores, is_hit, k):
    """At least one hit among the first k of a stable sort."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(is_hit, order, axis=1).any(axis=1).mean()


@pytest.mark.parametrize("tile", [1, 7, 64, 1000])
def test_recall_equals_its_definition_with_ties_and_ragged_tiles(tile):
    rng = np.random.default_rng(2)
    # small integers: scores tie often, and sums are exact in any order
    images = rng.integers(-2, 3, (41, 3)).astype(np.float32)
    texts = rng.integers(-2, 3, (113, 3)).astype(np.float32)
    text_image = rng.integers(0, 41, 113)
    own = np.arange(41)
    is_hit = text_image[:, None] == own
    of_text = ranking.first_hit_ranks(texts, images, text_image, own, tile=tile)
    of_image = ranking.first_hit_ranks(images, texts, own, text_image, tile=tile)
    for k in (1, 5, 10):
        expected = brute_force_recall(texts @ images.T, is_hit, k)
        assert retrieval.recall_at_k(of_text, k) == expected
        expected = brute_force_recall(images @ texts.T, is_hit.T, k)
        assert retrieval.recall_at_k(of_image, k) == expected


def test_scores_that_are_not_finite_are_refused():
    broken = np.array([[1.0, np.nan], [0.0, 1.0]], np.float32)
    with pytest.raises(ValueError, match="1 of 2 rows hold NaN"):
        ranking.top_k(broken, 1)

"""Metrics against numbers worked out by hand and against their plain definitions."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from vlp_jax.evaluation.metrics import classification, ranking, retrieval


def test_top_k_breaks_ties_by_the_lower_index():
    scores = np.array([[1.0, 3.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    assert ranking.top_k(scores, 3).tolist() == [[1, 2, 3], [0, 1, 2]]
    assert ranking.top_k(scores, 9).tolist() == [[1, 2, 3, 0], [0, 1, 2, 3]]
    assert scores[0, 1] == 3.0  # the caller's array is left alone


def test_top_k_equals_a_stable_sort():
    scores = np.random.default_rng(0).integers(0, 6, (50, 30)).astype(np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(ranking.top_k(scores, 7), expected)


def test_accuracy_at_k():
    guesses = np.array([[2, 0, 1], [1, 2, 0], [0, 1, 2], [0, 2, 1]])
    truth = np.array([2, 2, 2, 1])
    assert classification.accuracy_at_k(guesses, truth, 1) == 1 / 4
    assert classification.accuracy_at_k(guesses, truth, 2) == 2 / 4
    assert classification.accuracy_at_k(guesses, truth, 3) == 1.0
    with pytest.raises(ValueError, match="accuracy@5 needs 5 guesses, got 3"):
        classification.accuracy_at_k(guesses, truth, 5)


def test_mean_per_class_recall_leaves_out_absent_classes():
    truth = np.array([0, 0, 0, 0, 2, 2])
    guess = np.array([0, 0, 0, 1, 2, 4])
    # class 0: 3/4, class 2: 1/2; classes 1, 3 and 4 never occur in truth
    assert classification.mean_per_class_recall(guess, truth) == 0.625


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_mean_per_class_recall_is_balanced_accuracy():
    rng = np.random.default_rng(1)
    truth, guess = rng.integers(0, 9, (2, 200))
    truth[truth == 4] = 5
    assert classification.mean_per_class_recall(guess, truth) == pytest.approx(
        balanced_accuracy_score(truth, guess), abs=1e-12
    )


def test_confusion():
    truth, guess = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 0, 2])
    counts = classification.confusion_matrix(guess, truth, 4)
    expected = [[1, 1, 0, 0], [0, 1, 0, 0], [2, 0, 1, 0], [0, 0, 0, 0]]
    assert counts.tolist() == expected
    assert classification.most_confused(guess, truth, 5) == [(2, 0, 2), (0, 1, 1)]
    assert classification.most_confused(truth, truth, 5) == []


def test_retrieval_by_hand_with_several_captions():
    images = np.eye(3, dtype=np.float32)
    # captions 0 and 1 belong to image 0, caption 2 to image 1, caption 3 to image 2
    text_image = np.array([0, 0, 1, 2])
    texts = np.array(
        [[0.9, 0.1, 0], [0.1, 0.9, 0], [0.2, 0.5, 0.8], [0.7, 0.6, 0.1]], np.float32
    )
    images_found = retrieval.image_retrieval_ranks(images, texts, text_image)
    assert images_found.tolist() == [0, 1, 1, 2]
    # per image the scores are columns of `texts`: image 0 has 0.9 first; image 1 has
    # 0.9, 0.6 before 0.5; image 2 has 0.8 before 0.1
    texts_found = retrieval.text_retrieval_ranks(images, texts, text_image)
    assert texts_found.tolist() == [0, 2, 1]
    assert retrieval.recall_at_k(images_found, 1) == 1 / 4
    assert retrieval.recall_at_k(images_found, 2) == 3 / 4
    assert retrieval.recall_at_k(texts_found, 1) == pytest.approx(1 / 3)
    assert retrieval.recall_at_k(texts_found, 2) == pytest.approx(2 / 3)
    assert retrieval.recall_at_k(texts_found, 99) == 1.0


def test_a_constant_model_finds_the_first_not_the_right():
    same = np.ones((4, 2), np.float32)
    ranks = retrieval.image_retrieval_ranks(same, same, np.arange(4))
    assert ranks.tolist() == [0, 1, 2, 3]


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


def test_an_image_without_captions_is_never_found():
    images, texts = np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)[:1]
    ranks = retrieval.text_retrieval_ranks(images, texts, np.array([0]))
    assert ranks.tolist() == [0, 1]


def test_scores_that_are_not_finite_are_refused():
    broken = np.array([[1.0, np.nan], [0.0, 1.0]], np.float32)
    with pytest.raises(ValueError, match="1 of 2 rows hold NaN"):
        ranking.top_k(broken, 1)
    with pytest.raises(ValueError, match="1 of 2 rows hold NaN"):
        retrieval.image_retrieval_ranks(broken, np.eye(2), np.arange(2))

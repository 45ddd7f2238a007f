"""Accuracy, recall of classes and confusions against numbers worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from vlp_jax.evaluation.metrics import classification


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


def test_scores_by_the_names_of_clip_benchmark():
    ranking = np.array([[0, 1, -1, -1, -1], [1, 0, 2, 3, 4], [-1] * 5, [2, 1, 0, 3, 4]])
    truth = np.array([1, 1, 1, 2])
    # class 1: right once in three; class 2: always
    found = classification.scores(ranking, truth, 5)
    assert found == {"acc1": 0.5, "acc5": 0.75, "mean_per_class_recall": 2 / 3}
    assert np.isnan(classification.scores(ranking, truth, 4)["acc5"])


def test_confusion():
    truth, guess = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 0, 2])
    counts = classification.confusion_matrix(guess, truth, 4)
    expected = [[1, 1, 0, 0], [0, 1, 0, 0], [2, 0, 1, 0], [0, 0, 0, 0]]
    assert counts.tolist() == expected
    assert classification.most_confused(guess, truth, 5) == [(2, 0, 2), (0, 1, 1)]
    assert classification.most_confused(truth, truth, 5) == []

"""Metrics of classification, as clip_benchmark and scikit-learn define them."""

import numpy as np
from jaxtyping import Int


def accuracy_at_k(
    ranking: Int[np.ndarray, "n guesses"], truth: Int[np.ndarray, " n"], k: int
) -> float:
    """Share of samples whose class is among the first k guesses.

    `ranking` holds class indices, best first (`ranking.top_k`), at least k of them.
    """
    if ranking.shape[1] < k:
        raise ValueError(f"accuracy@{k} needs {k} guesses, got {ranking.shape[1]}")
    return float((ranking[:, :k] == truth[:, None]).any(axis=1).mean())


def mean_per_class_recall(
    guess: Int[np.ndarray, " n"], truth: Int[np.ndarray, " n"]
) -> float:
    """Mean over the classes present in `truth` of their recall.

    It is scikit-learn's balanced_accuracy_score.
    """
    seen = np.bincount(truth)
    right = np.bincount(truth[guess == truth], minlength=len(seen))
    return float((right[seen > 0] / seen[seen > 0]).mean())


def scores(
    ranking: Int[np.ndarray, "n guesses"], truth: Int[np.ndarray, " n"], classes: int
) -> dict[str, float]:
    """acc1, acc5 and mean_per_class_recall; acc5 is NaN below five classes.

    `ranking` is as for accuracy_at_k; -1 in it is no guess.
    """
    enough = classes >= 5
    return {
        "acc1": accuracy_at_k(ranking, truth, 1),
        "acc5": accuracy_at_k(ranking, truth, 5) if enough else float("nan"),
        "mean_per_class_recall": mean_per_class_recall(ranking[:, 0], truth),
    }


def confusion_matrix(
    guess: Int[np.ndarray, " n"], truth: Int[np.ndarray, " n"], classes: int
) -> Int[np.ndarray, "classes classes"]:
    """counts[t, g]: samples of class t that were taken for class g."""
    cells = np.bincount(truth * classes + guess, minlength=classes * classes)
    return cells.reshape(classes, classes)


def most_confused(
    guess: Int[np.ndarray, " n"], truth: Int[np.ndarray, " n"], limit: int
) -> list[tuple[int, int, int]]:
    """(truth, guess, count) of the commonest mistakes, without a dense matrix.

    The commonest first, equal counts by (truth, guess).
    """
    wrong = guess != truth
    pairs, counts = np.unique(
        np.stack([truth[wrong], guess[wrong]]), axis=1, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")[:limit]
    return [(int(pairs[0, i]), int(pairs[1, i]), int(counts[i])) for i in order]

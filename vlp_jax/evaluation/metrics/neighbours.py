"""From the labels of the nearest neighbours to a class."""

import numpy as np
from jaxtyping import Float, Int

from vlp_jax.evaluation.metrics.ranking import top_k

TILE = 1024  # rows whose votes are counted at a time: TILE * classes numbers


def vote(
    labels: Int[np.ndarray, "q k"],
    similarity: Float[np.ndarray, "q k"],
    classes: int,
    temperature: float | None,
    most: int = 5,
) -> Int[np.ndarray, "q most"]:
    """The `most` classes with the most votes, best first; -1 where nobody voted.

    A neighbour of similarity s votes with exp(s / temperature) (Wu et al. 2018,
    arXiv:1805.01978; Caron et al. 2021, arXiv:2104.14294); without a temperature all
    votes are equal. Equal votes: the lower class first, as scikit-learn's
    KNeighborsClassifier.
    """
    guesses = np.full((len(labels), most), -1, np.int64)
    for start in range(0, len(labels), TILE):
        part = slice(start, start + TILE)
        votes = _votes(labels[part], similarity[part], classes, temperature)
        ranking = top_k(votes, most)
        cast = np.take_along_axis(votes, ranking, axis=1)
        guesses[part, : ranking.shape[1]] = np.where(cast > 0, ranking, -1)
    return guesses


def _votes(labels, similarity, classes, temperature) -> Float[np.ndarray, "q classes"]:
    weights = np.ones(labels.shape)
    if temperature is not None:
        # Relative to the nearest one: a small temperature does not overflow.
        nearest = similarity.max(axis=1, keepdims=True).astype(np.float64)
        weights = np.exp((similarity - nearest) / temperature)
    cells = np.arange(len(labels))[:, None] * classes + labels
    sums = np.bincount(cells.ravel(), weights.ravel(), minlength=len(labels) * classes)
    return sums.reshape(len(labels), classes)

"""Retrieval in two stages: the first answers of a ranking, ordered anew."""

import numpy as np
from jaxtyping import Bool, Float, Int

from vlp_jax.evaluation.metrics.ranking import check_finite


def reranked(scores: Float[np.ndarray, "q k"]) -> Int[np.ndarray, "q k"]:
    """The places of each query's k first answers, ordered by their new scores.

    Of equal scores the one that was first before stays first.
    """
    check_finite(scores)
    return np.argsort(-scores, axis=1, kind="stable")


def reranked_ranks(
    ranks: Int[np.ndarray, " q"],
    order: Int[np.ndarray, "q k"],
    is_right: Bool[np.ndarray, "q k"],
) -> Int[np.ndarray, " q"]:
    """How many answers come before the first right one after re-ranking.

    Where none of the first k is right the rank stays.

    Args:
      ranks: those of the first ranking.
      order: what `reranked` gives.
      is_right: which of the first k are right, in the first ranking's order.
    """
    hits = np.take_along_axis(is_right, order, axis=1)
    return np.where(hits.any(axis=1), hits.argmax(axis=1), ranks)

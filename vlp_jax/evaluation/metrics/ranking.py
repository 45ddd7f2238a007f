"""Who comes first: the ranking under accuracy@k and recall@k.

Ties are broken by index, the lower one first, so a metric is a function of its inputs
and not of the sorting algorithm. (torch.topk, which clip_benchmark ranks with, leaves
their order open.) Scores must be finite: a NaN compares as neither
better nor worse, and would put the right answer first.
"""

import numpy as np
from jaxtyping import Float, Int


def top_k(scores: Float[np.ndarray, "q n"], k: int) -> Int[np.ndarray, "q k"]:
    """Indices of the k highest scores of each row, best first.

    k is cut to n. k passes of argmax, which returns the first of equal maxima: for
    the small k of a metric this beats a sort, and no partial sort is stable.
    """
    check_finite(scores)
    remaining = scores.copy()
    rows = np.arange(len(scores))
    best = np.empty((len(scores), min(k, scores.shape[1])), np.int64)
    for place in range(best.shape[1]):
        best[:, place] = remaining.argmax(axis=1)
        remaining[rows, best[:, place]] = -np.inf
    return best


def first_hit_ranks(
    queries: Float[np.ndarray, "q e"],
    keys: Float[np.ndarray, "n e"],
    query_group: Int[np.ndarray, " q"],
    key_group: Int[np.ndarray, " n"],
    tile: int = 256,
) -> Int[np.ndarray, " q"]:
    """How many keys come before the best key of the query's own group; 0 is first.

    Scores are inner products. Only `tile` queries are compared with the keys at a
    time, so memory grows with tile * n. A query whose group has no key gets n.
    """
    check_finite(queries, keys)
    positions = np.arange(len(keys))
    ranks = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), tile):
        part = slice(start, start + tile)
        scores = queries[part] @ keys.T
        is_hit = query_group[part, None] == key_group[None, :]
        hits = np.where(is_hit, scores, -np.inf)
        first = hits.argmax(axis=1)[:, None]
        best = np.take_along_axis(hits, first, axis=1)
        before = (scores > best) | ((scores == best) & (positions < first))
        ranks[part] = before.sum(axis=1)
    return ranks


def check_finite(*arrays: np.ndarray) -> None:
    for array in arrays:
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).any(axis=1).sum())
            raise ValueError(f"{bad} of {len(array)} rows hold NaN or infinity")

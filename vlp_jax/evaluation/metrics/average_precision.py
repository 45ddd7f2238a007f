"""Average precision: how well scores put the positives of a class first."""

import numpy as np
from jaxtyping import Bool, Float

from vlp_jax.evaluation.metrics.ranking import check_finite


def average_precision(
    scores: Float[np.ndarray, "n classes"], truth: Bool[np.ndarray, "n classes"]
) -> Float[np.ndarray, " classes"]:
    """The area under each class' precision over recall; NaN without a positive.

    It is scikit-learn's average_precision_score: samples of equal score enter at once,
    so no order of theirs matters. clip_benchmark takes them one after the other as a
    sort leaves them; without ties both are the same number.
    """
    check_finite(scores)
    found = np.full(scores.shape[1], np.nan)
    for number in np.flatnonzero(truth.any(axis=0)):
        order = np.argsort(-scores[:, number], kind="stable")
        ranked, hits = scores[order, number], truth[order, number].cumsum()
        ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        gained = np.diff(hits[ends], prepend=0)
        found[number] = (gained * hits[ends] / (ends + 1)).sum() / hits[-1]
    return found


def mean_average_precision(precisions: Float[np.ndarray, " classes"]) -> float:
    """The mean of what average_precision gives; NaN where no class has a positive.

    clip_benchmark counts a class without one as 0; published sets have none.
    """
    known = precisions[~np.isnan(precisions)]
    return float(known.mean()) if len(known) else float("nan")

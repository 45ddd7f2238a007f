"""The area under the ROC curve: do the scores of positives come before the others'?"""

import numpy as np
from jaxtyping import Bool, Float


def area_under_roc(
    scores: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]
) -> float:
    """The chance that a positive scores more than a negative; a tie counts as half.

    It is scikit-learn's roc_auc_score; NaN without a positive, or without a negative.
    """
    values, place = np.unique(scores, return_inverse=True)
    positives = np.bincount(place[truth], minlength=len(values))
    negatives = np.bincount(place[~truth], minlength=len(values))
    pairs = positives.sum() * negatives.sum()
    below = negatives.cumsum() - negatives / 2
    return float((positives * below).sum() / pairs) if pairs else float("nan")

"""Which of many results a report shows."""

import numpy as np
from jaxtyping import Bool


def mixture(is_right: Bool[np.ndarray, " n"], count: int) -> list[int]:
    """`count` results spread over the data: half of them right, half not.

    Where one half is short the other fills up.
    """
    right, wrong = np.flatnonzero(is_right), np.flatnonzero(~is_right)
    of_wrong = min(len(wrong), max(count // 2, count - len(right)))
    return sorted(spread(right, count - of_wrong) + spread(wrong, of_wrong))


def spread(items: np.ndarray, count: int) -> list[int]:
    """Up to `count` of `items` at even distances."""
    count = min(count, len(items))
    return [int(items[i * len(items) // count]) for i in range(count)]

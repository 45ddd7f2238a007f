"""Samples that lie in several parts, one after the other: shards, files, sources."""

from collections.abc import Sequence

import numpy as np


def locate(ends: Sequence[int], index: int) -> tuple[int, int]:
    """(the part that holds a sample, its index there); IndexError outside of all.

    ends: the number of samples up to the end of each part.
    """
    if not 0 <= index < ends[-1]:
        raise IndexError(f"{index} of {ends[-1]:,} samples")
    part = int(np.searchsorted(ends, index, side="right"))
    return part, index - int(ends[part - 1] if part else 0)

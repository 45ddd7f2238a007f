"""Which examples a probe learns from: shares and few-shot draws, class by class.

An example is drawn by (seed, class) alone, so that a class has the same examples
whatever other classes there are, and the draw of 4 shots holds those of 2.
"""

import numpy as np
from jaxtyping import Int

from vlp_jax.core.errors import RunError

MOST_HELD_OUT = 4  # examples of a class beside the shots, to choose the penalty by


def split(
    labels: Int[np.ndarray, " n"], share: float, seed: int = 0
) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]:
    """(kept, held out): indices in order, `share` of every class held out.

    At least one of a class is, unless it is the only one. Raises RunError when nothing
    could be held out.
    """
    kept, held_out = [], []
    for order in _shuffled(labels, seed).values():
        count = 0 if len(order) == 1 else max(1, int(share * len(order)))
        kept.append(order[count:])
        held_out.append(order[:count])
    chosen = np.sort(np.concatenate(held_out))
    if not len(chosen):
        raise RunError(
            "linear_probe chooses its penalty on examples that are held out, but every "
            "class has a single one; give more examples, or set l2"
        )
    return np.sort(np.concatenate(kept)), chosen


def draw_shots(
    labels: Int[np.ndarray, " n"], shots: int, seed: int, hold_out: bool
) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]:
    """(shots, held out): `shots` examples of every class, and min(shots, 4) others.

    The latter are for choosing settings, as in the code of Zhou et al. 2022 (CoOp,
    arXiv:2109.01134); none without `hold_out`. Raises RunError for a class with too
    few examples.
    """
    more = min(shots, MOST_HELD_OUT) if hold_out else 0
    chosen, held_out = [], []
    for label, order in _shuffled(labels, seed).items():
        if len(order) < shots + more:
            beside = f" and {more} to choose the penalty by" if more else ""
            raise RunError(
                f"linear_probe: {shots} shots{beside} need {shots + more} training "
                f"examples of every class, but class {label} has {len(order)}; lower "
                "shots" + (", or set l2" if more else "")
            )
        chosen.append(order[:shots])
        held_out.append(order[len(order) - more :])
    return np.sort(np.concatenate(chosen)), np.sort(np.concatenate(held_out))


def _shuffled(labels: Int[np.ndarray, " n"], seed: int) -> dict[int, np.ndarray]:
    """Class -> the indices of its examples in a drawn order."""
    return {
        int(label): np.random.default_rng((seed, int(label))).permutation(
            np.flatnonzero(labels == label)
        )
        for label in np.unique(labels)
    }

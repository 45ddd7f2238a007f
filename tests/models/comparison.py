"""How far our values are from those of an oracle."""

import numpy as np

from vlp_jax.core import trees


def error(given, expected) -> float:
    difference = np.abs(np.asarray(given, np.float64) - expected).max()
    return difference / np.abs(expected).max()


def check_gradients(gradients, expected) -> None:
    """A tree of ours against {path: array}, each to 1e-4 of its largest value."""
    found = trees.flatten(gradients)
    assert found.keys() == expected.keys()
    largest = max(np.abs(x).max() for x in expected.values())
    for path, gradient in found.items():
        if path.endswith("key/bias"):  # adds the same to a row of scores: no effect
            assert np.abs(gradient).max() <= 1e-6 * largest, path
            assert np.abs(expected[path]).max() <= 1e-6 * largest, path
        else:
            assert error(gradient, expected[path]) <= 1e-4, path

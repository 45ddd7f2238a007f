"""Captions judged right or wrong, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from tests.objectives.calls import call, check_shared_out, names
from vlp_jax.objectives.judging import Judging

LOG3 = math.log(3)


def captions():
    """Shares of a match 3/4, 3/4, 1/4, 1/2 and, of what only fills up, almost 1."""
    return {
        "match": np.float32([[0, LOG3], [5, 5 + LOG3], [LOG3, 0], [2, 2.001], [0, 99]]),
        "fits": np.array([True, False, False, True, False]),
        "valid": np.array([True, True, True, True, False]),
    }


def test_the_loss_of_four_captions():
    inputs = captions()
    assert names(Judging()) == set(inputs) and Judging.scope == "micro"
    total, count, metrics, gradients = call(Judging(), inputs, "contrasts")
    expected = 2 * math.log(4 / 3) + math.log(4) + math.log(2)
    assert count == 4 and float(total) == pytest.approx(expected, abs=1e-3)
    assert float(metrics["accuracy"]) == 3 / 4  # all but the second
    of_match = [-1 / 4, 3 / 4, 1 / 4, -1 / 2, 0]
    np.testing.assert_allclose(gradients["match"][:, 1], of_match, atol=1e-3)
    np.testing.assert_allclose(gradients["match"].sum(axis=1), 0, atol=1e-6)


def test_a_batch_without_a_caption_costs_nothing():
    inputs = captions() | {"valid": np.zeros(5, bool)}
    total, count, metrics, gradients = call(Judging(), inputs, "contrasts")
    assert total == count == metrics["accuracy"] == 0
    assert not gradients["match"].any()


def test_eight_devices():
    inputs = {name: np.concatenate([x] * 8) for name, x in captions().items()}
    check_shared_out(Judging(), inputs, stream="contrasts")

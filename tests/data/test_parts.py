"""An index over several parts names the part it falls into and its place in there."""

import numpy as np
import pytest

from vlp_jax.data.parts import locate


def test_every_index_falls_into_its_part():
    ends = np.cumsum([2, 0, 3])
    found = [locate(ends, index) for index in range(5)]
    assert found == [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]


@pytest.mark.parametrize("index", [-1, 5, 6])
def test_an_index_outside_is_refused(index):
    with pytest.raises(IndexError, match=str(index)):
        locate(np.array([2, 5]), index)


def test_no_parts_hold_nothing():
    with pytest.raises(IndexError):
        locate(np.array([], int), 0)

"""Outlines are kept as they are, and enclose what they should."""

import pickle

import numpy as np
import pytest

from vlp_jax.core.errors import BadSample
from vlp_jax.data.polygons import Polygons

SQUARE = [1.0, 2.0, 4.0, 2.0, 4.0, 5.0, 1.0, 5.0]
TRIANGLE = [10.0, 0.0, 14.0, 0.0, 10.0, 4.0]


@pytest.fixture
def polygons() -> Polygons:
    found = Polygons()
    for outline in ([SQUARE], [SQUARE, TRIANGLE], [], [TRIANGLE]):
        found.append(outline)
    return found


def test_outlines_come_back(polygons):
    assert len(polygons) == 4
    assert [polygons[k] for k in range(4)] == [
        [SQUARE],
        [SQUARE, TRIANGLE],
        [],
        [TRIANGLE],
    ]
    assert pickle.loads(pickle.dumps(polygons))[1] == [SQUARE, TRIANGLE]


def test_masks(polygons):
    square = np.zeros((6, 16), bool)
    square[2:6, 1:5] = True
    triangle = np.zeros((6, 16), bool)
    for row in range(5):
        triangle[row, 10 : 15 - row] = True
    np.testing.assert_array_equal(polygons.mask(0, 16, 6), square)
    np.testing.assert_array_equal(polygons.mask(3, 16, 6), triangle)
    np.testing.assert_array_equal(polygons.mask(1, 16, 6), square | triangle)
    assert not polygons.mask(2, 16, 6).any()
    assert polygons.mask(3, 12, 2).tolist() == triangle[:2, :12].tolist()  # cut off


@pytest.mark.fault("F20")
def test_a_mask_of_impossible_size_is_not_made(polygons):
    with pytest.raises(BadSample) as caught:
        polygons.mask(0, 10**6, 10**6)
    assert caught.value.cause == "image_too_large"


@pytest.mark.parametrize("outline", [[1.0, 2.0], [1.0] * 7, []])
def test_what_is_no_polygon_is_refused(outline):
    with pytest.raises(ValueError, match="a polygon of"):
        Polygons().append([outline])

"""Votes of neighbours against their formula and numbers worked out by hand."""

import numpy as np

from vlp_jax.evaluation.metrics import neighbours
from vlp_jax.evaluation.metrics.neighbours import vote


def test_a_majority_by_hand():
    labels = np.array([[2, 0, 0, 1, 2], [4, 4, 4, 4, 4], [3, 1, 0, 1, 3]])
    similarity = np.ones((3, 5))
    found = vote(labels, similarity, 6, None)
    assert found.tolist() == [
        [0, 2, 1, -1, -1],  # two votes each for 0 and 2: the lower class first
        [4, -1, -1, -1, -1],
        [1, 3, 0, -1, -1],
    ]


def test_a_near_neighbour_outvotes_two_far_ones():
    labels, similarity = np.array([[1, 0, 0]]), np.array([[0.9, 0.5, 0.5]])
    assert vote(labels, similarity, 2, 0.07, most=1).tolist() == [[1]]
    assert vote(labels, similarity, 2, None, most=1).tolist() == [[0]]


def test_weighted_votes_equal_their_formula(monkeypatch):
    """Summed class by class, as the paper writes it; tiles change nothing."""
    rng = np.random.default_rng(0)
    labels, similarity = rng.integers(0, 7, (40, 12)), rng.uniform(-1, 1, (40, 12))
    expected = []
    for row_labels, row in zip(labels, similarity, strict=True):
        sums = [np.exp(row[row_labels == c] / 0.07).sum() for c in range(7)]
        order = np.argsort(-np.array(sums), kind="stable")[:5]
        expected.append([c if sums[c] > 0 else -1 for c in order])
    for tile in (7, 1024):
        monkeypatch.setattr(neighbours, "TILE", tile)
        np.testing.assert_array_equal(vote(labels, similarity, 7, 0.07), expected)


def test_a_small_temperature_is_the_nearest_neighbour():
    rng = np.random.default_rng(1)
    labels, similarity = rng.integers(0, 3, (20, 9)), rng.uniform(-1, 1, (20, 9))
    nearest = np.take_along_axis(labels, similarity.argmax(1)[:, None], axis=1)
    found = vote(labels, similarity.astype(np.float32), 3, 1e-6, most=1)
    np.testing.assert_array_equal(found, nearest)


def test_fewer_classes_than_guesses():
    assert vote(np.array([[1, 1]]), np.ones((1, 2)), 2, None).tolist() == [
        [1, -1, -1, -1, -1]
    ]

"""Logistic regression equals scikit-learn's, on one device and on eight."""

import functools

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression as Reference

from tests.parallel.meshes import make_mesh
from vlp_jax.evaluation import logistic
from vlp_jax.evaluation.logistic import LogisticRegression
from vlp_jax.parallel.collectives import ROWS, SAME, map_rows

TEST = np.arange(1797) % 5 == 0


@functools.cache
def digits(classes=10):
    """Handwritten digits as unit vectors, as embeddings are: (features, labels)."""
    features, labels = load_digits(return_X_y=True)
    chosen = labels < classes
    features = features[chosen] / np.linalg.norm(features[chosen], axis=1)[:, None]
    return features, labels[chosen], TEST[chosen]


@functools.cache
def reference(l2, classes=10):
    features, labels, test = digits(classes)
    model = Reference(C=1 / l2, tol=1e-10, max_iter=20_000)
    return model.fit(features[~test], labels[~test])


def problem(classes=10, devices=8, dtype=np.float32):
    features, labels, test = digits(classes)
    given = features[~test].astype(dtype), labels[~test]
    return LogisticRegression(*given, classes, make_mesh(devices))


def difference(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize(
    ("l2", "most"), [(100.0, 1e-5), (1.0, 1e-5), (1e-2, 1e-5), (1e-4, 1e-3)]
)
def test_weights_and_predictions_are_scikit_learns(l2, most, devices):
    features, _, test = digits()
    found, expected = problem(devices=devices).fit(l2), reference(l2)
    assert found.weights.dtype == np.float32
    assert difference(found.weights.T, expected.coef_) < most
    assert difference(found.bias, expected.intercept_) < 2 * most
    guess = found.logits(features[test]).argmax(axis=1)
    np.testing.assert_array_equal(guess, expected.predict(features[test]))


def test_predictions_are_scikit_learns_where_the_penalty_is_next_to_nothing():
    features, _, test = digits()
    found, expected = problem().fit(1e-6), reference(1e-6)
    assert difference(found.weights.T, expected.coef_) < 1e-3
    guess = found.logits(features[test]).argmax(axis=1)
    np.testing.assert_array_equal(guess, expected.predict(features[test]))


def test_it_is_as_precise_as_its_features():
    with jax.enable_x64(True):
        found = problem(dtype=np.float64).fit(1.0)
    assert found.weights.dtype == np.float64 and found.residual <= logistic.TOLERANCE
    assert difference(found.weights.T, reference(1.0).coef_) < 1e-6


def test_two_classes_have_one_vector():
    """scikit-learn's penalty is that of the difference of our two."""
    features, _, test = digits(2)
    found, expected = problem(2).fit(0.1), reference(0.1, 2)
    assert difference(np.diff(found.weights).T, expected.coef_) < 1e-5
    logits = found.logits(features[test])
    assert (
        difference(np.diff(logits)[:, 0], expected.decision_function(features[test]))
        < 1e-5
    )


def test_a_large_common_direction_changes_nothing():
    features, labels, test = digits()
    shift = np.full(64, 3.0, np.float32)
    moved = features[~test].astype(np.float32) + shift
    found = LogisticRegression(moved, labels[~test], 10, make_mesh(8)).fit(1.0)
    assert difference(found.weights.T, reference(1.0).coef_) < 1e-5


@pytest.mark.parametrize(("most", "tile"), [(2, 2), (100, 90), (10_000, 180)])
def test_tiles_change_nothing(monkeypatch, most, tile):
    """1437 rows on 8 devices are 180 on each, in equal tiles of at most so many."""
    whole = problem().fit(1.0)
    monkeypatch.setattr(logistic, "TILE", most * 10)
    parts = problem()
    assert parts.tile == tile
    assert difference(parts.fit(1.0).weights, whole.weights) < 1e-5


@pytest.mark.parametrize("devices", [1, 8])
def test_loss_and_gradient_are_those_of_the_rows(devices):
    """In float64 from the definition; 17 rows on 8 devices fill up to 24."""
    features, labels, _ = digits(3)
    given = LogisticRegression(
        features[:17].astype(np.float32), labels[:17], 3, make_mesh(devices)
    )
    w = np.random.default_rng(0).normal(size=(65, 3)).astype(np.float32)
    loss = map_rows(
        functools.partial(logistic._loss, tile=given.tile),
        given.mesh,
        in_specs=(SAME, ROWS, ROWS, ROWS),
        out_specs=(SAME, SAME),
    )
    value, gradient = jax.jit(loss)(w, *given.examples)
    x = np.asarray(given.examples[0], np.float64)[:17]
    odds = np.exp(x @ w)
    shares = odds / odds.sum(axis=1, keepdims=True)
    right = np.eye(3)[labels[:17]]
    assert difference(value, -np.log(shares[right == 1]).sum()) < 1e-5
    assert difference(gradient, x.T @ (shares - right)) < 1e-5


def test_another_penalty_compiles_nothing():
    one = problem()
    one.fit(1.0)
    solver = logistic._solver(one.mesh, 10, one.tile)
    compiled = solver._cache_size()
    one.fit(0.5)
    problem().fit(0.25)
    assert solver._cache_size() == compiled


def test_examples_without_any_difference():
    """All features are alike: the classes have their frequencies."""
    features, labels = np.ones((8, 3), np.float32), np.array([0, 0, 0, 0, 1, 1, 2, 2])
    found = LogisticRegression(features, labels, 3, make_mesh(8)).fit(1.0)
    odds = np.exp(found.logits(features[:1]))[0]
    np.testing.assert_allclose(odds / odds.sum(), [0.5, 0.25, 0.25], atol=1e-5)

"""Nearest neighbours on real digits: scikit-learn's answers, on 1 and 8 devices."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from tests.evaluation.labelled import Labelled, Seeing, handwritten
from tests.parallel.meshes import make_mesh
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.evaluation import knn
from vlp_jax.evaluation.knn import NearestNeighbours

handwritten = functools.cache(handwritten)


@pytest.fixture(params=[1, 8], ids="{} devices".format)
def devices(request, monkeypatch):
    mesh = make_mesh(request.param)
    monkeypatch.setattr(knn, "MeshSpec", lambda: SimpleNamespace(make=lambda: mesh))


def arrays():
    predictor, train, test = handwritten()
    return (predictor.features[s.rows] for s in (train, test)), train, test


@pytest.mark.parametrize("k", [1, 5, 20])
def test_a_majority_is_scikit_learns(devices, k):
    """Both give equal votes to the lower class; no two distances are equal here."""
    predictor, train, test = handwritten()
    (known, asked), train, test = arrays()
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
    expected = model.fit(known, train.labels).predict(asked)
    report = NearestNeighbours(test, train, k, vote="majority").run(predictor)
    np.testing.assert_array_equal(report.details["guess"], expected)
    assert report.metrics["acc1"] == (expected == test.labels).mean()


def test_a_weighted_vote_is_its_formula(devices):
    predictor, train, test = handwritten()
    (known, asked), train, test = arrays()
    cosine = asked @ known.T
    order = np.argsort(-cosine, axis=1)[:, :20]
    votes = np.zeros((len(asked), 10))
    for row, chosen in enumerate(order):
        for one in chosen:
            votes[row, train.labels[one]] += np.exp(cosine[row, one] / 0.07)
    report = NearestNeighbours(test, train).run(predictor)
    np.testing.assert_array_equal(report.details["guess"], votes.argmax(axis=1))
    assert report.task == "knn" and report.dataset == "digits/test"
    metrics = report.metrics
    assert 0.98 < metrics["acc1"] < metrics["acc5"] <= 1.0
    assert metrics["mean_per_class_recall"] == pytest.approx(metrics["acc1"], abs=5e-3)
    assert (report.details["samples"], report.details["train_samples"]) == (360, 1437)


def test_limits_take_the_first_and_an_even_part():
    predictor, train, test = handwritten()
    found = NearestNeighbours(test, train, limit=50, train_limit=400).run(predictor)
    assert found.details["train_samples"] == 400 and found.details["samples"] == 50
    assert found.metrics["acc1"] > 0.8
    assert found.details["truth"].tolist() == test.labels[:50].tolist()


def test_acc5_needs_five_classes_but_no_five_votes():
    predictor = Seeing(np.eye(4))
    four = Labelled(np.arange(4), np.arange(4))
    metrics = NearestNeighbours(four, four, k=1).run(predictor).metrics
    assert metrics["acc1"] == 1.0 and np.isnan(metrics["acc5"])
    more = Labelled(np.arange(4), np.arange(4), class_names="abcde")
    assert NearestNeighbours(more, more, k=1).run(predictor).metrics["acc5"] == 1.0


def test_settings_that_make_no_sense():
    predictor, train, test = handwritten()
    for given, said in (
        ({"k": 0}, "knn: k is 0"),
        ({"temperature": 0.0}, "knn: temperature is 0"),
        ({"train_limit": 0}, "knn: train_limit is 0"),
        ({"vote": "weigted"}, "did you mean 'weighted'"),
    ):
        with pytest.raises(ConfigError, match=said):
            NearestNeighbours(test, train, **given)
    other = Labelled([0], [0], class_names=("cat",))
    with pytest.raises(ConfigError, match="knn: labelled has 1 classes and digits/tes"):
        NearestNeighbours(test, other)
    few = Labelled(train.rows[:5], train.labels[:5], class_names=test.class_names)
    with pytest.raises(RunError, match="k = 20 neighbours .* only 5 training"):
        NearestNeighbours(test, few).run(predictor)

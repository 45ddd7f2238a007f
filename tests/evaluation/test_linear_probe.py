"""Linear probes on real digits: scikit-learn's answers, CLIP's search, few-shot."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.evaluation.labelled import Labelled, Seeing, handwritten
from tests.parallel.meshes import make_mesh
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.evaluation import linear_probe
from vlp_jax.evaluation.linear_probe import LinearProbe, search_penalty
from vlp_jax.evaluation.splits import split

handwritten = functools.cache(handwritten)


def run(devices=8, **settings):
    predictor, train, test = handwritten()
    mesh = make_mesh(devices)
    with pytest.MonkeyPatch.context() as patch:
        everywhere = SimpleNamespace(make=lambda: mesh)
        patch.setattr(linear_probe, "MeshSpec", lambda: everywhere)
        return LinearProbe(test, train, **settings).run(predictor)


def expected_accuracy(train, test, l2):
    predictor = handwritten()[0]
    model = LogisticRegression(C=1 / l2, tol=1e-8, max_iter=5000)
    model.fit(predictor.features[train[0]].astype(float), train[1])
    return (model.predict(predictor.features[test[0]]) == test[1]).mean()


# ---- the search


def test_the_search_is_clips():
    asked = []

    def accuracy(l2):
        asked.append(round(8 * np.log10(l2)))
        return -abs(asked[-1] - 13)  # the best one is 13 eighths of a decade above 1

    found = search_penalty(accuracy)
    decades = [-48, -32, -16, 0, 16, 32, 48]
    assert asked == [*decades, 8, 24, 12, 20, 10, 14, 11, 13]
    assert next(iter(found)) == 10.0 ** (13 / 8)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@pytest.mark.parametrize("best", [48, -48, 0, 1])
def test_the_search_reaches_every_place(best):
    found = search_penalty(lambda l2: -abs(8 * np.log10(l2) - best))
    assert next(iter(found)) == 10.0 ** (best / 8)


def test_of_equal_penalties_the_one_nearest_to_1_is_taken():
    assert next(iter(search_penalty(lambda l2: 0.5))) == 1.0
    assert next(iter(search_penalty(lambda l2: float(l2 > 5)))) == 10.0 ** (6 / 8)


# ---- the probe


@pytest.fixture(scope="module")
def searched():
    return run(shots=(1,), draws=2)


def test_a_given_penalty_gives_scikit_learns_predictions():
    predictor, train, test = handwritten()
    model = LogisticRegression(C=2.0, tol=1e-8, max_iter=5000)
    model.fit(predictor.features[train.rows].astype(float), train.labels)
    expected = model.predict(predictor.features[test.rows])
    for devices in (1, 8):
        report = run(devices, l2=0.5)
        np.testing.assert_array_equal(report.details["guess"], expected)
        assert report.metrics["lp_acc1"] == (expected == test.labels).mean()
        assert report.metrics["l2"] == 0.5 and report.details["tried"] == {}


def test_the_penalty_is_chosen_on_what_is_held_out(searched):
    """Accuracies there are scikit-learn's; in the end all of train is learned."""
    _, train, test = handwritten()
    tried, l2 = searched.details["tried"], searched.metrics["l2"]
    assert l2 == next(iter(tried)) and tried[l2] == max(tried.values())
    kept, held_out = split(train.labels, 0.2)
    parts = [(train.rows[part], train.labels[part]) for part in (kept, held_out)]
    for penalty in (1.0, 1e2):
        assert tried[penalty] == expected_accuracy(*parts, penalty)
    whole = (train.rows, train.labels), (test.rows, test.labels)
    assert searched.metrics["lp_acc1"] == expected_accuracy(*whole, l2)
    assert searched.metrics["lp_acc5"] >= searched.metrics["lp_acc1"] > 0.95


def test_few_shots_are_the_mean_of_draws(searched):
    both = [run(l2=0.1, shots=(4,), draws=n).metrics for n in (1, 2)]
    assert np.isnan(both[0]["lp_acc1_4_shot_std"])
    first, mean = both[0]["lp_acc1_4_shot"], both[1]["lp_acc1_4_shot"]
    second = 2 * mean - first
    spread = abs(first - second) / np.sqrt(2)
    assert both[1]["lp_acc1_4_shot_std"] == pytest.approx(spread) and spread > 0
    one = searched.metrics["lp_acc1_1_shot"]
    assert 0.3 < one < mean < searched.metrics["lp_acc1"]


def test_every_number_of_devices_gives_the_same_digits(searched):
    one = run(devices=1, shots=(1,), draws=2)
    assert one.metrics == searched.metrics
    assert one.details["tried"] == searched.details["tried"]


def test_a_class_without_training_examples_is_never_guessed():
    table = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    names = "abcdef"
    train = Labelled(np.arange(8), [1] * 4 + [4] * 4, class_names=names)
    test = Labelled(np.arange(12), [1] * 4 + [4] * 4 + [5] * 4, class_names=names)
    report = LinearProbe(test, train, l2=1.0).run(Seeing(table))
    assert set(report.details["guess"]) == {1, 4}
    assert report.metrics["lp_acc1"] == report.metrics["lp_acc5"] == 2 / 3


def test_settings_that_make_no_sense():
    predictor, train, test = handwritten()
    for given, said in (
        ({"l2": 0.0}, "linear_probe: l2 is 0"),
        ({"validation": 1.0}, "linear_probe: validation is 1"),
        ({"shots": (0, 1)}, "linear_probe: shots is 0"),
        ({"draws": 0}, "linear_probe: draws is 0"),
        ({"limit": 0}, "linear_probe: limit is 0"),
    ):
        with pytest.raises(ConfigError, match=said):
            LinearProbe(test, train, **given)
    alike = Labelled([1, 2], [3, 3], class_names=test.class_names)
    with pytest.raises(RunError, match="two classes or more; all 2 .* of class 3"):
        LinearProbe(test, alike).run(predictor)

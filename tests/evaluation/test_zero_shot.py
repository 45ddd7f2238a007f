"""Zero-shot classification with a model that knows the truth, and one that guesses."""

import numpy as np
import pytest

from tests.evaluation.predictors import FakePredictor, Wrapped, knows, random_embedding
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Example
from vlp_jax.evaluation.zero_shot import ZeroShot, class_weights


def perfect_classifier(source):
    names = source.class_names
    pictures = {
        e.image.tobytes(): names[e.label] for e in map(source.__getitem__, range(300))
    }
    return FakePredictor(knows({name: i for i, name in enumerate(names)}), pictures)


def test_truth_is_classified_perfectly(digits):
    predictor = perfect_classifier(digits)
    predictor.batch_size = 128
    report = ZeroShot(digits, templates="digit_scenes").run(predictor)
    assert report.task == "zeroshot_classification"
    assert report.metrics == {"acc1": 1.0, "acc5": 1.0, "mean_per_class_recall": 1.0}
    assert report.details["failures"] == []
    assert report.details["skipped"] == {}
    assert predictor.batch_sizes == [128, 128, 44]


def test_guessing_classifies_by_chance(digits):
    report = ZeroShot(digits, templates=("a {}",)).run(FakePredictor(random_embedding))
    assert 0.03 < report.metrics["acc1"] < 0.2
    assert 0.38 < report.metrics["acc5"] < 0.62
    failures = report.details["failures"]
    assert len(failures) == 24
    sure = [failure["confidence"] for failure in failures]
    assert sure == sorted(sure, reverse=True) and 0 < sure[-1] < sure[0] <= 1
    assert all(f["truth"] != f["guess"] for f in failures)
    assert failures[0]["picture"].shape == (48, 48, 3)


def test_templates_are_averaged_as_unit_vectors(digits):
    vectors = {"x": [1.0, 0.0], "y": [0.0, 1.0]}
    predictor = FakePredictor(lambda text: np.float32(vectors[text[-1]]))
    evaluator = ZeroShot(digits, templates=("{}x", "{}y", "{}y"))
    weights = class_weights(predictor, ["a"], evaluator.templates)
    np.testing.assert_allclose(weights, [[1 / 5**0.5, 2 / 5**0.5]], rtol=1e-6)


def test_acc5_needs_five_classes(digits):
    few = Wrapped(
        digits,
        {i: Example(digits[i].image, label=i % 3) for i in range(9)},
        class_names=("a", "b", "c"),
    )
    report = ZeroShot(few, limit=9).run(FakePredictor(random_embedding))
    assert np.isnan(report.metrics["acc5"]) and report.details["samples"] == 9


def test_wrong_settings_are_refused_with_a_hint(digits, scenes):
    with pytest.raises(ConfigError, match="did you mean 'openai_simple7'"):
        ZeroShot(digits, templates="openai_simple")
    with pytest.raises(ConfigError, match="has no '{}'"):
        ZeroShot(digits, templates=("a photo",))
    with pytest.raises(ConfigError, match="needs names for the classes"):
        ZeroShot(Wrapped(digits, {}, class_names=()))
    with pytest.raises(ConfigError, match="needs a label in 0..9 .* has None"):
        ZeroShot(scenes).run(FakePredictor(random_embedding))

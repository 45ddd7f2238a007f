"""Classifiers on extracted features: ours are scikit-learn's, and those of evaluate."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as Reference

from tests.features.embedding import Listed
from tests.parallel.meshes import make_mesh
from tests.saved_runs import untrained
from vlp_jax import features, trained
from vlp_jax.core.types import Example
from vlp_jax.evaluation.linear_probe import LinearProbe
from vlp_jax.evaluation.logistic import LogisticRegression
from vlp_jax.features.extraction import Extraction, Settings

COLOURS = {"blue": (80, 90, 180), "green": (80, 160, 90), "red": (180, 90, 80)}
COLOURS |= {"grey": (120, 120, 120), "yellow": (180, 180, 60)}


class Colours(Listed):
    """Pictures whose colour is so far from that of their class that some look wrong.

    A random tower tells them apart: it need not be trained.
    """

    def __init__(self, split, size):
        rng, samples = np.random.default_rng(len(split)), []
        for number in range(size):
            label = number % len(COLOURS)
            colour = list(COLOURS.values())[label] + rng.normal(0, 40, 3)
            pixels = colour + rng.normal(0, 20, (24, 24, 3))
            picture = pixels.clip(0, 255).astype(np.uint8)
            samples.append(Example(picture, label=label, name=f"{split}/{number}"))
        super().__init__(*samples, class_names=tuple(COLOURS), name=f"colours/{split}")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("probed") / "run"
    untrained(workdir, 5)
    return trained.load_checkpoint(str(workdir), 64, "model")


@pytest.fixture(scope="module")
def extracted(loaded, tmp_path_factory):
    """Features of 600 pictures to learn from, and of 400 others."""
    found = {}
    for split, size in (("train", 600), ("test", 400)):
        folder = tmp_path_factory.mktemp(split)
        settings = Settings(shard_size=150, texts=False)
        Extraction(Colours(split, size), loaded, folder, settings, {}).run()
        found[split] = features.read(folder, ("image_embedding", "label"))
    return found


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_accuracy_is_scikit_learns(extracted, c):
    train, test = extracted["train"], extracted["test"]
    reference = Reference(C=c, tol=1e-10, max_iter=20_000)
    reference.fit(train["image_embedding"].astype(float), train["label"])
    expected = reference.score(test["image_embedding"].astype(float), test["label"])
    problem = LogisticRegression(
        train["image_embedding"], train["label"], 5, make_mesh(8)
    )
    guess = problem.fit(1 / c).logits(test["image_embedding"]).argmax(axis=1)
    assert (guess == test["label"]).mean() == pytest.approx(expected, abs=1e-4)
    assert 0.5 < expected < 0.95


def test_the_evaluator_finds_the_same(extracted, loaded):
    train, test = extracted["train"], extracted["test"]
    probe = LinearProbe(Colours("test", 400), Colours("train", 600), l2=1.0)
    report = probe.run(loaded.predictor)
    reference = Reference(C=1.0, tol=1e-10, max_iter=20_000)
    reference.fit(train["image_embedding"].astype(float), train["label"])
    expected = reference.score(test["image_embedding"].astype(float), test["label"])
    assert report.metrics["lp_acc1"] == pytest.approx(expected, abs=1e-4)
    np.testing.assert_array_equal(report.details["truth"], test["label"])

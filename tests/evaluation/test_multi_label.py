"""Pictures of several classes: a model that knows them, and one that guesses."""

import numpy as np
import pytest

from tests.evaluation.predictors import FakePredictor, Wrapped, random_embedding
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.types import Example
from vlp_jax.evaluation.multi_label import MultiLabel

NAMES = ("red", "green", "blue")


def picture(number: int) -> np.ndarray:
    return np.full((4, 4, 3), number, np.uint8)


def source_of(scenes, *labels):
    """Four pictures with these labels, in place of the first samples of a source."""
    examples = {k: Example(picture(k), labels=x) for k, x in enumerate(labels)}
    return Wrapped(scenes, examples, class_names=NAMES)


def knowing(source, count: int) -> FakePredictor:
    """Embeds a picture as the sum of its classes."""

    def embed(meaning):
        found = np.float32([name in meaning for name in NAMES])
        return found / max(np.linalg.norm(found), 1)

    pictures = {
        picture(k).tobytes(): " ".join(NAMES[n] for n in source[k].labels)
        for k in range(count)
    }
    return FakePredictor(embed, pictures, batch_size=3)


def test_what_is_seen_comes_first(scenes):
    source = source_of(scenes, (0,), (0, 1), (), (1,))
    report = MultiLabel(source, limit=4).run(knowing(source, 4))
    assert report.task == "zeroshot_classification" and report.dataset == "wrapped"
    assert report.metrics == {"mean_average_precision": 1.0}
    found = report.details["average_precision"]
    assert found[:2].tolist() == [1.0, 1.0] and np.isnan(found[2])
    assert report.details["positives"].tolist() == [2, 2, 0]
    assert (report.details["samples"], report.details["skipped"]) == (4, {})


def test_the_labels_of_regions_will_do(scenes):
    """A scene shows the digits of its regions."""
    report = MultiLabel(scenes, templates=("a {}",)).run(
        FakePredictor(random_embedding)
    )
    assert report.details["positives"].sum() == sum(
        len({region.label for region in scenes[i].regions}) for i in range(90)
    )
    share = report.details["positives"].mean() / 90
    assert abs(report.metrics["mean_average_precision"] - share) < 0.1


def test_what_it_cannot_do_without(scenes):
    with pytest.raises(ConfigError, match="multi_label needs names for the classes"):
        MultiLabel(Wrapped(scenes, {}, class_names=()))
    for wrong in ((3,), (-1,), None):
        with pytest.raises(ConfigError, match=r"labels in 0..2, or regions with them,"):
            MultiLabel(source_of(scenes, wrong), limit=1).run(
                FakePredictor(random_embedding)
            )
    empty = source_of(scenes, (), ())
    with pytest.raises(RunError, match="no sample of wrapped shows any class"):
        MultiLabel(empty, limit=2).run(knowing(empty, 2))

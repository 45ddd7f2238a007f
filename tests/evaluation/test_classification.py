"""Classes that a model scores itself, of pictures by number and of texts by letter."""

import numpy as np
import pytest

from tests.evaluation.predictors import Able, FakePredictor, Samples, random_embedding
from vlp_jax.core.errors import BadSample, ConfigError, RunError
from vlp_jax.core.types import Example
from vlp_jax.evaluation.classification import Classification


class Six(Samples):
    """Six pictures of three classes; the last is truncated, its text is empty."""

    class_names = ("cat", "dog", "cow")

    def __init__(self):
        pictures = [np.full((2, 2, 3), n, np.uint8) for n in range(5)]
        examples = [
            Example(picture, (f"text {n}",), label=n % 3)
            for n, picture in enumerate(pictures)
        ]
        super().__init__(*examples, Example(b"", (), label=0))


def scores(number, prompts):
    """Right of 0 ... 3, wrong of 4 (a dog, taken for a cow)."""
    guess = number % 3 if number < 4 else 2
    return np.eye(3)[guess]


def test_pictures():
    asked = []

    def classify(number, prompts):
        asked.append(prompts)
        return scores(number, prompts)

    source = Six()
    found = Classification(source, template="one {}").run(
        Able(source.pictures[:5], classify=classify)
    )
    assert asked[0] == ["one cat", "one dog", "one cow"]
    assert found.task == "classification" and found.details["samples"] == 5
    assert found.metrics["acc1"] == 4 / 5 and np.isnan(found.metrics["acc5"])
    assert found.metrics["mean_per_class_recall"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert found.details["truth"].tolist() == [0, 1, 2, 0, 1]
    assert found.details["guess"].tolist() == [0, 1, 2, 0, 2]
    assert found.details["skipped"] == {"image_truncated": 1}


def test_texts_need_no_picture():
    source = Six()
    model = Able([], classify_text=lambda text: scores(int(text.split()[1]), ()))
    found = Classification(source).run(model)
    assert found.metrics["acc1"] == 4 / 5
    assert found.details["skipped"] == {"caption_missing": 1}
    assert Classification(source, limit=2).run(model).metrics["acc1"] == 1
    bad = Samples(BadSample("caption_unreadable"))
    bad.class_names = ("a", "b")
    with pytest.raises(RunError, match="nothing to evaluate"):
        Classification(bad).run(model)


def test_what_cannot_be_evaluated():
    source = Six()
    with pytest.raises(RunError, match="classification needs a model that tells"):
        Classification(source).run(FakePredictor(random_embedding))
    four = Able(source.pictures[:5], classify=lambda number, prompts: np.zeros(4))
    with pytest.raises(RunError, match="tells 4 classes apart, and samples has 3"):
        Classification(source).run(four)
    renamed = Able(source.pictures[:5], classify=scores)
    renamed.class_names = ("dog", "cat", "cow")
    with pytest.raises(RunError, match=r"3 classes apart \(dog.*has 3 \(cat.*in their"):
        Classification(source).run(renamed)
    with pytest.raises(ConfigError, match="has no '{}' where the class name goes"):
        Classification(source, template="photo")
    with pytest.raises(ConfigError, match="has none; give a source with class_names"):
        Classification(Samples())
    with pytest.raises(ConfigError, match="limit"):
        Classification(source, limit=0)

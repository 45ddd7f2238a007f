"""What holds for every evaluator: it has a name, and scores no model that diverged."""

import numpy as np
import pytest

from tests.evaluation.predictors import Able, FakePredictor, Samples
from tests.evaluation.test_selection import pair
from vlp_jax.core.errors import RunError
from vlp_jax.core.lookup import call
from vlp_jax.evaluation import EVALUATORS


def test_names():
    assert set(EVALUATORS) == {
        "zero_shot",
        "multi_label",
        "retrieval",
        "hard_negatives",
        "winoground",
        "knn",
        "linear_probe",
        "matching",
        "captioning",
        "classification",
        "vqa",
    }


PAIR = Samples(*pair(0, 1))
OWN = dict.fromkeys(("hard_negatives", "winoground", "matching"), PAIR)


@pytest.mark.parametrize("name", sorted(set(EVALUATORS) - {"captioning", "vqa"}))
def test_a_model_that_diverged_is_not_scored(name, digits):
    """Where it is scored by numbers; the texts that one writes are bad, not NaN."""
    source = OWN.get(name, digits)
    nan = FakePredictor(lambda meaning: np.full(4, np.nan, np.float32))
    if name == "matching":
        nan = Able(PAIR.pictures, match=lambda number, text: np.nan)
    if name == "classification":
        pictures = [digits[n].image for n in range(5)]
        nan = Able(pictures, classify=lambda number, prompts: np.full(10, np.nan))
    evaluator = call(EVALUATORS[name], {"limit": 5}, name, source=source, train=source)
    with pytest.raises(RunError, match="NaN"):
        evaluator.run(nan)

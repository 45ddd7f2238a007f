"""What holds for every evaluator: it has a name, and scores no model that diverged."""

import numpy as np
import pytest

from tests.evaluation.predictors import FakePredictor
from tests.evaluation.test_selection import Samples, pair
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
    }


OWN = {"hard_negatives": Samples(*pair(0, 1)), "winoground": Samples(*pair(0, 1))}


@pytest.mark.parametrize("name", EVALUATORS)
def test_a_model_that_diverged_is_not_scored(name, digits):
    source = OWN.get(name, digits)
    nan = FakePredictor(lambda meaning: np.full(4, np.nan, np.float32))
    evaluator = call(EVALUATORS[name], {"limit": 5}, name, source=source, train=source)
    with pytest.raises(RunError, match="NaN"):
        evaluator.run(nan)

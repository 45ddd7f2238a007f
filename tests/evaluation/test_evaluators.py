"""What holds for every evaluator: it has a name, and scores no model that diverged."""

import numpy as np
import pytest

from tests.evaluation.predictors import FakePredictor
from vlp_jax.core.errors import RunError
from vlp_jax.evaluation import EVALUATORS
from vlp_jax.evaluation.retrieval import Retrieval
from vlp_jax.evaluation.zero_shot import ZeroShot


def test_names():
    assert set(EVALUATORS) == {
        "zero_shot",
        "multi_label",
        "retrieval",
        "hard_negatives",
        "winoground",
    }


@pytest.mark.parametrize("evaluator", [ZeroShot, Retrieval])
def test_a_model_that_diverged_is_not_scored(evaluator, digits):
    nan = FakePredictor(lambda meaning: np.full(4, np.nan, np.float32))
    with pytest.raises(RunError, match="NaN"):
        evaluator(digits, limit=5).run(nan)

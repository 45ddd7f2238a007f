"""The area under the ROC curve beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vlp_jax.evaluation.metrics.roc import area_under_roc


@pytest.mark.parametrize("values", [1000, 5])
def test_as_scikit_learn_with_and_without_ties(values):
    rng = np.random.default_rng(values)
    truth = rng.random(300) < 0.3
    scores = rng.integers(0, values, 300) + values * 0.2 * truth
    found = area_under_roc(scores, truth)
    assert found == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert 0.5 < found < 1


def test_by_hand():
    truth = np.array([True, True, False, False])
    assert area_under_roc(np.array([0.9, 0.4, 0.5, 0.1]), truth) == 3 / 4
    assert area_under_roc(np.full(4, 0.5), truth) == 1 / 2
    assert np.isnan(area_under_roc(np.zeros(2), np.ones(2, bool)))

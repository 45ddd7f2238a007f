"""The tiny recipe that reads questions, too, and learns from them."""

from tests import learns_questions
from vlp_jax.objectives import OBJECTIVES

OBJECTIVES["agreement"] = learns_questions.Agreement


def get_config():
    config = learns_questions.asking()
    config.data.log_samples = True
    config.evaluation.every = None
    config.evaluation.evaluators = {}
    return config

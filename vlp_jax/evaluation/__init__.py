"""Evaluators: name -> class. Each takes a source and runs on a Predictor."""

from vlp_jax.evaluation.retrieval import Retrieval
from vlp_jax.evaluation.zero_shot import ZeroShot

EVALUATORS = {"zero_shot": ZeroShot, "retrieval": Retrieval}

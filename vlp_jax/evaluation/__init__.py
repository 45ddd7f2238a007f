"""Evaluators: name -> class. Each takes a source and runs on a Predictor."""

from vlp_jax.evaluation.multi_label import MultiLabel
from vlp_jax.evaluation.retrieval import Retrieval
from vlp_jax.evaluation.selection import HardNegatives, Winoground
from vlp_jax.evaluation.zero_shot import ZeroShot

EVALUATORS = {
    "zero_shot": ZeroShot,
    "multi_label": MultiLabel,
    "retrieval": Retrieval,
    "hard_negatives": HardNegatives,
    "winoground": Winoground,
}

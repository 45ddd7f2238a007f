"""Evaluators: name -> class. Each takes a source and runs on a Predictor.

One with a parameter `train` gets a second source, to learn from.
"""

from vlp_jax.evaluation.answering import QuestionAnswering
from vlp_jax.evaluation.captioning import Captioning
from vlp_jax.evaluation.classification import Classification
from vlp_jax.evaluation.knn import NearestNeighbours
from vlp_jax.evaluation.linear_probe import LinearProbe
from vlp_jax.evaluation.matching import Matching
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
    "knn": NearestNeighbours,
    "linear_probe": LinearProbe,
    "matching": Matching,
    "captioning": Captioning,
    "classification": Classification,
    "vqa": QuestionAnswering,
}

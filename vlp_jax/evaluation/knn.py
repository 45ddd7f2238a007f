"""Classification by the nearest neighbours: how well do the embeddings cluster?

Nothing is trained, so this is the quickest look at features during pretraining.
"""

from vlp_jax.core.errors import RunError, check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Predictor, Report, Source
from vlp_jax.evaluation.features import (
    EvenlySpread,
    check_same_classes,
    class_count,
    read_features,
)
from vlp_jax.evaluation.metrics import classification, neighbours
from vlp_jax.evaluation.nearest import nearest
from vlp_jax.parallel.mesh import MeshSpec

TASK = "knn"
VOTES = {"weighted": True, "majority": False}


class NearestNeighbours:
    """Gives each picture the class that its nearest training pictures vote for.

    Nearness is the cosine of embeddings (evaluation/features.py says which). The
    defaults are those of Caron et al. 2021 (DINO, arXiv:2104.14294), whose weighted
    vote is that of Wu et al. 2018 (arXiv:1805.01978).

    Args:
      source: labelled examples to classify.
      train: labelled examples among which the neighbours are looked for.
      k: how many neighbours vote.
      vote: 'weighted' by exp(cosine / temperature), or 'majority'.
      temperature: of the weighted vote.
      limit: only the first `limit` samples of source; None means all.
      train_limit: only so many of train, evenly spread; None means all.

    Metrics: acc1, acc5 (NaN below five classes; a class without a vote is no guess)
    and mean_per_class_recall. Details: class_names; truth and guess [n]; skipped and
    samples of source, train_skipped and train_samples.
    """

    def __init__(
        self,
        source: Source,
        train: Source,
        k: int = 20,
        vote: str = "weighted",
        temperature: float = 0.07,
        limit: int | None = None,
        train_limit: int | None = None,
    ):
        check_range("knn: k", k, 1)
        check_range("knn: temperature", temperature, 1e-6)
        check_range("knn: limit", limit, 1)
        check_range("knn: train_limit", train_limit, 1)
        check_same_classes(train, source, "knn")
        self.temperature = temperature if lookup(VOTES, vote, "knn: vote") else None
        self.source, self.k, self.limit = source, k, limit
        self.train = EvenlySpread(train, train_limit) if train_limit else train

    def run(self, predictor: Predictor) -> Report:
        """Reads both sources once."""
        known = read_features(self.train, predictor)
        if len(known.labels) < self.k:
            raise RunError(
                f"knn: k = {self.k} neighbours are to vote, but only "
                f"{len(known.labels)} training pictures of {self.train.name} could be "
                "used; lower k"
            )
        asked = read_features(self.source, predictor, self.limit)
        similarity, index = nearest(
            asked.embeddings, known.embeddings, self.k, MeshSpec().make()
        )
        classes = class_count(known, asked, self.source)
        ranking = neighbours.vote(
            known.labels[index], similarity, classes, self.temperature
        )
        details = {
            "class_names": tuple(self.source.class_names),
            "truth": asked.labels,
            "guess": ranking[:, 0],
            "skipped": asked.skipped,
            "samples": len(asked.labels),
            "train_skipped": known.skipped,
            "train_samples": len(known.labels),
        }
        metrics = classification.scores(ranking, asked.labels, classes)
        return Report(TASK, self.source.name, metrics, details)

"""A linear classifier on frozen embeddings: how much of the classes do they hold?

The protocol is that of Radford et al. 2021 (arXiv:2103.00020), appendix A.3: logistic
regression by L-BFGS, its penalty chosen on examples that are held out.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from vlp_jax.core.errors import RunError, check_range
from vlp_jax.core.types import Predictor, Report, Source
from vlp_jax.evaluation.features import (
    EvenlySpread,
    Features,
    check_same_classes,
    class_count,
    read_features,
)
from vlp_jax.evaluation.logistic import Linear, LogisticRegression
from vlp_jax.evaluation.metrics import classification
from vlp_jax.evaluation.metrics.ranking import top_k
from vlp_jax.evaluation.splits import draw_shots, split
from vlp_jax.parallel.mesh import MeshSpec

TASK = "linear_probe"
PENALTIES = tuple(10.0 ** (place / 8) for place in range(-48, 49))  # 1e-6 to 1e6
FIRST_STEP = 16  # places between the penalties that are tried first: two decades
TILE = 4096  # pictures whose logits are ranked at a time


def search_penalty(accuracy: Callable[[float], float]) -> dict[float, float]:
    """Penalty -> accuracy of those that were tried, the one to take first.

    Appendix A.3's search: every second decade of 1e-6 .. 1e6, then the neighbours of
    the best one at ever smaller distances, down to an eighth of a decade; 15 of 97 at
    most. Of equally good ones the one nearest to 1 is taken: what comes of penalties
    near the ends of the range is slow to find, or small against its rounding.
    """
    tried: dict[int, float] = {}

    def rank(place: int) -> tuple[float, int]:
        return -tried[place], abs(place - PENALTIES.index(1.0))

    places, step = range(0, len(PENALTIES), FIRST_STEP), FIRST_STEP
    while step >= 1:
        for place in places:
            if 0 <= place < len(PENALTIES) and place not in tried:
                tried[place] = accuracy(PENALTIES[place])
        step, best = step // 2, min(tried, key=rank)
        places = best - step, best + step
    return {PENALTIES[place]: tried[place] for place in sorted(tried, key=rank)}


class LinearProbe:
    """Trains a linear classifier on the embeddings of one source, tests it on another.

    Embeddings are those of evaluation/features.py, the classifier is that of
    evaluation/logistic.py: scikit-learn's, on all devices.

    Args:
      source: labelled examples to test on.
      train: labelled examples to train on.
      l2: the penalty, 1 / C of scikit-learn; None: chosen by `search_penalty` on a
        part of train, and the classifier is then trained on all of train.
      validation: that part, of every class.
      shots: also train on so many examples of every class, for example (1, 4, 16); the
        penalty is then chosen on min(shots, 4) others of every class.
      draws: how often the shots are drawn.
      limit: only the first `limit` samples of source; None means all.
      train_limit: only so many of train, evenly spread; None means all.

    Metrics, named as clip_benchmark's: lp_acc1, lp_acc5 (NaN below five classes) and
    lp_mean_per_class_recall; l2; for n shots lp_acc1_n_shot and lp_acc1_n_shot_std,
    mean and sample standard deviation over the draws. Details: class_names; truth and
    guess [n]; tried (penalty -> accuracy on the part held out); fit (iterations and
    residual of the final one); skipped, samples, train_skipped, train_samples.
    """

    def __init__(
        self,
        source: Source,
        train: Source,
        l2: float | None = None,
        validation: float = 0.2,
        shots: Sequence[int] = (),
        draws: int = 3,
        limit: int | None = None,
        train_limit: int | None = None,
    ):
        check_range("linear_probe: l2", l2, PENALTIES[0], PENALTIES[-1])
        check_range("linear_probe: validation", validation, 0.01, 0.9)
        check_range("linear_probe: shots", min(shots, default=1), 1)
        check_range("linear_probe: draws", draws, 1)
        check_range("linear_probe: limit", limit, 1)
        check_range("linear_probe: train_limit", train_limit, 1)
        check_same_classes(train, source, "linear_probe")
        self.source, self.l2, self.validation = source, l2, validation
        self.shots, self.draws, self.limit = tuple(shots), draws, limit
        self.train = EvenlySpread(train, train_limit) if train_limit else train

    def run(self, predictor: Predictor) -> Report:
        """Reads both sources once."""
        known = read_features(self.train, predictor)
        asked = read_features(self.source, predictor, self.limit)
        trainer = Trainer(known)
        tried = {} if self.l2 else self._search(trainer)
        l2 = self.l2 or next(iter(tried))
        found = trainer.fit(np.arange(len(known.labels)), l2)
        ranking = trainer.rank(found, asked.embeddings)
        classes = class_count(known, asked, self.source)
        scores = classification.scores(ranking, asked.labels, classes)
        metrics = {f"lp_{name}": value for name, value in scores.items()} | {"l2": l2}
        for shots in self.shots:
            metrics |= self._few_shot(trainer, shots, asked)
        details = {
            "class_names": tuple(self.source.class_names),
            "truth": asked.labels,
            "guess": ranking[:, 0],
            "tried": tried,
            "fit": {"iterations": found.iterations, "residual": found.residual},
            "skipped": asked.skipped,
            "samples": len(asked.labels),
            "train_skipped": known.skipped,
            "train_samples": len(known.labels),
        }
        return Report(TASK, self.source.name, metrics, details)

    def _search(self, trainer: "Trainer") -> dict[float, float]:
        labels = trainer.known.labels
        return trainer.search(*split(labels, self.validation))

    def _few_shot(
        self, trainer: "Trainer", shots: int, asked: Features
    ) -> dict[str, float]:
        """The mean accuracy over draws of the training examples, and its spread."""
        found = []
        for seed in range(self.draws):
            chosen, held_out = draw_shots(
                trainer.known.labels, shots, seed, hold_out=self.l2 is None
            )
            l2 = self.l2 or next(iter(trainer.search(chosen, held_out)))
            found.append(trainer.accuracy(trainer.fit(chosen, l2), asked))
        spread = np.std(found, ddof=1) if len(found) > 1 else np.nan
        name = f"lp_acc1_{shots}_shot"
        return {name: float(np.mean(found)), f"{name}_std": float(spread)}


class Trainer:
    """Trains classifiers on parts of the training examples.

    Classes without a training example are never guessed. Raises RunError for a single
    class.
    """

    def __init__(self, known: Features):
        self.known, self.mesh = known, MeshSpec().make()
        self.classes, self.numbers = np.unique(known.labels, return_inverse=True)
        if len(self.classes) < 2:
            raise RunError(
                f"linear_probe needs two classes or more; all {len(known.labels)} "
                f"training examples are of class {self.classes[0]}"
            )

    def problem(self, part: Int[np.ndarray, " part"]) -> LogisticRegression:
        """The examples of a part, on the devices. It holds at least one per class."""
        embeddings, numbers = self.known.embeddings[part], self.numbers[part]
        return LogisticRegression(embeddings, numbers, len(self.classes), self.mesh)

    def fit(self, part: Int[np.ndarray, " part"], l2: float) -> Linear:
        return self.problem(part).fit(l2)

    def search(
        self, part: Int[np.ndarray, " part"], held_out: Int[np.ndarray, " held"]
    ) -> dict[float, float]:
        """The penalties tried, by their accuracy on what was held out."""
        problem = self.problem(part)
        asked = Features(
            self.known.embeddings[held_out], self.known.labels[held_out], {}
        )
        return search_penalty(lambda l2: self.accuracy(problem.fit(l2), asked))

    def rank(
        self, found: Linear, embeddings: Float[np.ndarray, "n e"]
    ) -> Int[np.ndarray, "n five"]:
        """The five likeliest classes; -1 where there are fewer."""
        ranking = np.full((len(embeddings), 5), -1, np.int64)
        for start in range(0, len(embeddings), TILE):
            part = slice(start, start + TILE)
            best = top_k(found.logits(embeddings[part]), 5)
            ranking[part, : best.shape[1]] = self.classes[best]
        return ranking

    def accuracy(self, found: Linear, asked: Features) -> float:
        ranking = self.rank(found, asked.embeddings)
        return classification.accuracy_at_k(ranking, asked.labels, 1)

"""Classes as the model itself scores them: by a head, or by prompts it has learned."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from vlp_jax.core.class_prompts import OWN, check_template, fill
from vlp_jax.core.errors import BadSample, ConfigError, RunError, check_range
from vlp_jax.core.types import Predictor, Report, Source
from vlp_jax.evaluation.abilities import check_ability
from vlp_jax.evaluation.features import label_check
from vlp_jax.evaluation.metrics import classification
from vlp_jax.evaluation.metrics.ranking import top_k
from vlp_jax.evaluation.reading import Reader

TASK = "classification"


class Classification:
    """Classifies the pictures of a source, or its texts if the model reads texts.

    Args:
      source: labelled examples, and `class_names` that name the labels.
      template: the prompt of a class, for models that compare pictures with prompts.
      limit: only the first `limit` samples; None means all.

    Metrics: those of zero_shot. Details: class_names; truth and guess [n]; skipped,
    samples.
    """

    def __init__(
        self,
        source: Source,
        template: str = "a photo of a {}",
        limit: int | None = None,
    ):
        check_range("classification: limit", limit, 1)
        if not len(source.class_names):
            raise ConfigError(
                f"classification needs names for the classes, but {source.name} has "
                "none; give a source with class_names"
            )
        check_template(template)
        self.source, self.template, self.limit = source, template, limit

    def run(self, predictor: Predictor) -> Report:
        """Reads the source once."""
        names = tuple(self.source.class_names)
        self._check_classes(predictor, names)
        skipped: Counter[str] = Counter()
        if predictor.can("classify_text"):
            parts = [self._texts(predictor, skipped)]
        else:
            check_ability(predictor, "classify", TASK)
            parts = [*self._pictures(predictor, skipped, names)]
        logits, truth = (np.concatenate(part) for part in zip(*parts, strict=True))
        if logits.shape[1] != len(names):
            raise RunError(
                f"the model tells {logits.shape[1]} classes apart, and "
                f"{self.source.name} has {len(names)}; evaluate it on its own classes"
            )
        if not np.isfinite(logits).all():
            raise RunError(
                "the model's scores of classes hold NaN or infinity; look at the "
                "training loss, and evaluate an earlier checkpoint"
            )
        ranking = top_k(logits, 5)
        details = {
            "class_names": names,
            "truth": truth,
            "guess": ranking[:, 0],
            "skipped": dict(skipped),
            "samples": len(truth),
        }
        metrics = classification.scores(ranking, truth, len(names))
        return Report(TASK, self.source.name, metrics, details)

    def _check_classes(self, predictor: Predictor, names: tuple[str, ...]) -> None:
        """RunError for other classes than those of a head, or of words of their own."""
        known = tuple(getattr(predictor, "class_names", ()))
        fixed = not predictor.can("embed") or OWN.search(self.template)
        if fixed and known and known != names:
            raise RunError(
                f"the model tells {len(known)} classes apart ({', '.join(known[:3])}, "
                f"...), and {self.source.name} has {len(names)} ({', '.join(names[:3])}"
                ", ...); evaluate it on the classes that it was trained on, in their "
                "order"
            )

    def _pictures(
        self, predictor: Predictor, skipped: Counter[str], names: tuple[str, ...]
    ) -> Iterator[tuple[Float[np.ndarray, "n classes"], np.ndarray]]:
        prompts = fill(self.template, names)
        reader = Reader(self.source, predictor, self.limit, label_check(self.source))
        for chunk in reader:
            labels = np.array([example.label for example in chunk.examples])
            yield predictor.classify(chunk.pictures, prompts), labels
        skipped.update(reader.skipped)

    def _texts(
        self, predictor: Predictor, skipped: Counter[str]
    ) -> tuple[Float[np.ndarray, "n classes"], np.ndarray]:
        check = label_check(self.source)
        size = len(self.source) if self.limit is None else self.limit
        texts, labels = [], []
        for index in range(min(size, len(self.source))):
            try:
                example = self.source[index]
                check(example)
                if not example.captions:
                    raise BadSample("caption_missing")
            except BadSample as bad:
                skipped[bad.cause] += 1
                continue
            texts.append(example.captions[0])
            labels.append(example.label)
        if not texts:
            raise RunError(
                f"nothing to evaluate: none of the texts of {self.source.name} could "
                f"be used ({dict(skipped)})"
            )
        return predictor.classify_text(texts), np.array(labels)

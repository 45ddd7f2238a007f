"""Zero-shot classification of pictures that may show several classes at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.types import Example, Predictor, Report
from vlp_jax.evaluation.metrics.average_precision import (
    average_precision,
    mean_average_precision,
)
from vlp_jax.evaluation.reading import Reader, encode_images
from vlp_jax.evaluation.zero_shot import TASK, ByPrompts, class_weights


class MultiLabel(ByPrompts):
    """Ranks the pictures for each class by their nearness to its prompts.

    Args:
      source: examples with `labels`, or else with regions, whose labels they take; and
        `class_names` that name them.
      templates, limit: as of zero_shot.

    Metrics: mean_average_precision, over the classes that occur. Details: class_names;
    average_precision (NaN for a class that does not occur) and positives [classes];
    skipped, samples.
    """

    kind = "multi_label"

    def run(self, predictor: Predictor) -> Report:
        """Reads the source once; keeps a score of every picture for every class."""
        names = tuple(self.source.class_names)
        weights = class_weights(predictor, names, self.templates)
        reader = Reader(self.source, predictor, self.limit, self._check)
        parts = []
        for chunk in reader:
            scores = encode_images(predictor, chunk.pictures) @ weights.T
            parts.append((scores, _multi_hot(chunk.examples, len(names))))
        scores, truth = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not truth.any():
            raise RunError(
                f"nothing to rank: no sample of {self.source.name} shows any class"
            )
        precisions = average_precision(scores, truth)
        details: dict[str, Any] = {
            "class_names": names,
            "average_precision": precisions,
            "positives": truth.sum(axis=0),
            "skipped": dict(reader.skipped),
            "samples": len(truth),
        }
        metrics = {"mean_average_precision": mean_average_precision(precisions)}
        return Report(TASK, self.source.name, metrics, details)

    def _check(self, example: Example) -> None:
        classes, labels = len(self.source.class_names), _labels(example)
        if labels is None or not all(0 <= label < classes for label in labels):
            raise ConfigError(
                f"multi_label needs labels in 0..{classes - 1}, or regions with them, "
                f"on every example, but {example.name or 'one'} of {self.source.name} "
                f"has {labels}"
            )


def _labels(example: Example) -> tuple[int, ...] | None:
    if example.labels is None and example.regions:
        return tuple(region.label for region in example.regions)
    return example.labels


def _multi_hot(
    examples: Sequence[Example], classes: int
) -> Bool[np.ndarray, "n classes"]:
    found = np.zeros((len(examples), classes), bool)
    for row, example in zip(found, examples, strict=True):
        row[list(_labels(example) or ())] = True
    return found

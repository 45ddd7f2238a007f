"""Zero-shot classification: a class is the text that names it (Radford et al. 2021)."""

from collections.abc import Sequence

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int

from vlp_jax.core.class_prompts import CONTEXT, fill
from vlp_jax.core.errors import ConfigError, RunError, check_range
from vlp_jax.core.types import Predictor, Report, Source
from vlp_jax.evaluation import prompts
from vlp_jax.evaluation.features import label_check
from vlp_jax.evaluation.metrics import classification
from vlp_jax.evaluation.metrics.ranking import top_k
from vlp_jax.evaluation.reading import Reader, encode_images, encode_texts

TASK = "zeroshot_classification"
LOGIT_SCALE = 100.0  # CLIP's; it orders nothing anew, but makes the confidences
FAILURES_SHOWN = 24


def class_weights(
    predictor: Predictor,
    class_names: Sequence[str],
    templates: Sequence[str],
) -> Float[np.ndarray, "classes e"]:
    """One unit vector per class: the mean direction of its prompts.

    Each prompt's embedding is normalised by the predictor, then averaged over the
    templates and normalised again.
    """
    learned = [token for t in templates for token in CONTEXT.findall(t)]
    if learned and not predictor.can("context"):
        raise RunError(
            f"a template has learned words ({', '.join(learned[:4])}), and this model "
            "has none; give templates in words, such as 'a photo of a {}'"
        )
    total = 0
    at_once = max(
        1, predictor.batch_size // len(class_names)
    )  # templates that fill a batch
    for start in range(0, len(templates), at_once):
        group = templates[start : start + at_once]
        texts = [text for t in group for text in fill(t, class_names)]
        found = encode_texts(predictor, texts)
        total += rearrange(found, "(t c) e -> t c e", t=len(group)).sum(axis=0)
    return total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-12)


class ByPrompts:
    """The settings of an evaluator whose classes are the texts that name them."""

    kind: str

    def __init__(
        self,
        source: Source,
        templates: str | Sequence[str] | None = None,
        limit: int | None = None,
    ):
        check_range(f"{self.kind}: limit", limit, 1)
        if not len(source.class_names):
            raise ConfigError(
                f"{self.kind} needs names for the classes, but {source.name} has none; "
                "give a source with class_names"
            )
        self.source = source
        self.templates = prompts.chosen(templates, source)
        self.limit = limit


class ZeroShot(ByPrompts):
    """Classifies each image as the class whose prompts are nearest to it.

    Args:
      source: labelled examples, and `class_names` that name the labels.
      templates: a set of assets/templates.json, a text file with a template a line, or
        templates with '{}' for the class; None: the source's own, else 'photo'.
      limit: only the first `limit` samples; None means all.

    Metrics: acc1, acc5 (NaN below five classes, as clip_benchmark has it) and
    mean_per_class_recall. Details: class_names; truth and guess [n], from which any
    confusion matrix follows; the most confident failures; skipped, samples.
    """

    kind = "zero_shot"

    def run(self, predictor: Predictor) -> Report:
        """Reads the source once; pictures of failures are read a second time."""
        names = tuple(self.source.class_names)
        weights = class_weights(predictor, names, self.templates)
        reader = Reader(self.source, predictor, self.limit, label_check(self.source))
        parts = []
        for chunk in reader:
            images = encode_images(predictor, chunk.pictures)
            labels = [example.label for example in chunk.examples]
            parts.append((chunk.indices, labels, *_guess(images, weights)))
        indices, truth, ranking, confidence = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )
        guess = ranking[:, 0]
        worst = _most_confident_errors(truth, guess, confidence)
        details = {
            "class_names": names,
            "truth": truth,
            "guess": guess,
            "failures": [
                {
                    "picture": reader.picture(int(indices[i])),
                    "truth": names[truth[i]],
                    "guess": names[guess[i]],
                    "confidence": float(confidence[i]),
                }
                for i in worst
            ],
            "skipped": dict(reader.skipped),
            "samples": len(truth),
        }
        metrics = classification.scores(ranking, truth, len(names))
        return Report(TASK, self.source.name, metrics, details)


def _guess(
    images: Float[np.ndarray, "n e"], weights: Float[np.ndarray, "classes e"]
) -> tuple[Int[np.ndarray, "n five"], Float[np.ndarray, " n"]]:
    """The five likeliest classes, and the probability of the first."""
    logits = LOGIT_SCALE * images @ weights.T
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return top_k(logits, 5), 1 / odds.sum(axis=1)


def _most_confident_errors(
    truth: np.ndarray, guess: np.ndarray, confidence: np.ndarray
) -> np.ndarray:
    wrong = np.flatnonzero(guess != truth)
    return wrong[np.argsort(-confidence[wrong], kind="stable")[:FAILURES_SHOWN]]

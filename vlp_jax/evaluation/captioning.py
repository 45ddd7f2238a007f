"""Captions that a model writes, beside those that people wrote."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from vlp_jax.core.errors import BadSample, check_range
from vlp_jax.core.types import Example, Predictor, Report, Source
from vlp_jax.evaluation.abilities import check_ability
from vlp_jax.evaluation.choosing import spread
from vlp_jax.evaluation.metrics.bleu import bleu
from vlp_jax.evaluation.metrics.caption_tokens import caption_tokens
from vlp_jax.evaluation.metrics.cider import cider
from vlp_jax.evaluation.metrics.rouge import rouge_l
from vlp_jax.evaluation.reading import Reader

TASK = "captioning"


class Captioning:
    """Compares a caption of each picture with all that its source has for it.

    Args:
      source: examples with captions; others are skipped ('caption_missing'). One that
        can tell right captions from others has `check_caption` (index, caption).
      limit: only the first `limit` samples; None means all.
      gallery: how many pictures the report shows, from the best to the worst.
      prompt: what a caption goes on from; the beginning is not counted.
      beams, max_length, min_length, length_penalty: as of models/decoding.py; None: by
        its defaults. One beam takes the likeliest token each time.

    Metrics, named as clip_benchmark names them: Bleu_1 .. Bleu_4, ROUGE_L and CIDEr of
    the whole set, by the tokens of metrics/caption_tokens.py; and `exact`, the share of
    captions that the source finds right, where it can tell. Details: gallery; skipped,
    samples.
    """

    def __init__(
        self,
        source: Source,
        limit: int | None = None,
        gallery: int = 24,
        prompt: str | None = None,
        beams: int | None = None,
        max_length: int | None = None,
        min_length: int | None = None,
        length_penalty: float | None = None,
    ):
        check_range("captioning: limit", limit, 1)
        check_range("captioning: gallery", gallery, 0)
        self.source, self.limit, self.gallery = source, limit, gallery
        given = {
            "prompt": prompt,
            "beams": beams,
            "length": max_length,
            "min_length": min_length,
            "length_penalty": length_penalty,
        }
        self.decoding = {key: x for key, x in given.items() if x is not None}

    def run(self, predictor: Predictor) -> Report:
        """Reads the source once; pictures of the gallery are read a second time."""
        check_ability(predictor, "generate", "captioning")
        reader = Reader(self.source, predictor, self.limit, _check)
        check = getattr(self.source, "check_caption", None)
        indices, written, references, right = [], [], [], []
        for chunk in reader.followed("batches captioned"):
            new = predictor.generate(chunk.pictures, **self.decoding)
            if check is not None:
                asked = zip(chunk.indices, new, strict=True)
                right += [bool(check(index, caption)) for index, caption in asked]
            indices += chunk.indices
            written += new
            references += [example.captions for example in chunk.examples]
        metrics, of_each = caption_scores(written, references)
        if check is not None:
            metrics["exact"] = float(np.mean(right))
        order = np.argsort(-of_each, kind="stable")
        details = {
            "gallery": [
                {
                    "picture": reader.picture(indices[n]),
                    "caption": written[n],
                    "references": list(references[n]),
                    "cider": float(of_each[n]),
                    "right": right[n] if right else None,
                }
                for n in spread(order, self.gallery)
            ],
            "skipped": dict(reader.skipped),
            "samples": len(written),
        }
        return Report(TASK, self.source.name, metrics, details)


def caption_scores(
    written: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[dict[str, float], Float[np.ndarray, " n"]]:
    """(the metrics of a set by their names, CIDEr of each caption)."""
    guesses = [caption_tokens(text) for text in written]
    own = [[caption_tokens(text) for text in texts] for texts in references]
    metrics: dict[str, Any] = {
        f"Bleu_{n}": float(x) for n, x in enumerate(bleu(guesses, own), 1)
    }
    of_each = cider(guesses, own)
    metrics["ROUGE_L"] = float(rouge_l(guesses, own).mean())
    metrics["CIDEr"] = float(of_each.mean())
    return metrics, of_each


def _check(example: Example) -> None:
    if not example.captions:
        raise BadSample("caption_missing", example.name)

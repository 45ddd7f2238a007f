"""Does a text fit a picture? Image-text matching on captions and wrong ones."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from vlp_jax.core.errors import BadSample, check_range
from vlp_jax.core.types import Example, Predictor, Report, Source
from vlp_jax.evaluation.abilities import check_ability
from vlp_jax.evaluation.attention import word_maps
from vlp_jax.evaluation.choosing import spread
from vlp_jax.evaluation.metrics.roc import area_under_roc
from vlp_jax.evaluation.reading import Chunk, Reader, match_pairs

TASK = "image_text_matching"
LIKELY = 0.5  # above it a text is taken to fit


class Matching:
    """Tells a picture's captions from wrong ones that are nearly right.

    Beside every wrong caption stands the right one that it was made from, the first of
    the picture (others may be worded as no wrong one is): half of the pairs belong
    together.

    Args:
      source: examples with captions and `negatives`; others are skipped
        ('caption_missing').
      limit: only the first `limit` samples; None means all.
      gallery: how many of the surest mistakes the report shows.
      attention: of how many captions it shows what the model looks at for their words,
        where the model can tell.

    Metrics: accuracy, positive_accuracy (of right captions), negative_accuracy, auc;
    accuracy_KIND of each kind of wrong caption beside its right ones, where the
    examples tell `negative_kinds`. Details: kinds, mistakes, attention; skipped,
    samples, pairs.
    """

    def __init__(
        self,
        source: Source,
        limit: int | None = None,
        gallery: int = 24,
        attention: int = 6,
    ):
        check_range("matching: limit", limit, 1)
        check_range("matching: gallery", gallery, 0)
        check_range("matching: attention", attention, 0)
        self.source, self.limit = source, limit
        self.gallery, self.attention = gallery, attention

    def run(self, predictor: Predictor) -> Report:
        """Reads the source once; pictures that are shown are read a second time."""
        check_ability(predictor, "match", "matching")
        reader = Reader(self.source, predictor, self.limit, _check)
        pairs: list[Pair] = []
        parts = []
        for chunk in reader:
            tokens = predictor.image_tokens(chunk.pictures)
            new = list(_pairs(chunk))
            rows = np.array([pair.row for pair in new])
            texts = [pair.text for pair in new]
            parts.append(match_pairs(predictor, tokens, rows, texts))
            pairs += new
        found = Found(
            np.concatenate(parts),
            np.array([pair.truth for pair in pairs]),
            np.array([pair.kind for pair in pairs]),
        )
        details = {
            "kinds": found.kinds(),
            "mistakes": [
                {
                    "picture": reader.picture(pairs[n].index),
                    "caption": pairs[n].text,
                    "fits": pairs[n].truth,
                    "probability": float(found.probability[n]),
                    "kind": pairs[n].kind,
                }
                for n in found.surest_mistakes(self.gallery)
            ],
            "attention": self._attention(predictor, reader, pairs),
            "skipped": dict(reader.skipped),
            "samples": len({pair.index for pair in pairs}),
            "pairs": len(pairs),
        }
        return Report(TASK, self.source.name, found.metrics(), details)

    def _attention(
        self, predictor: Predictor, reader: Reader, pairs: "list[Pair]"
    ) -> list[dict[str, Any]]:
        """Right captions spread over the source, with the heat of their words."""
        if not predictor.can("attend"):
            return []
        first: dict[int, Pair] = {}
        for pair in pairs:
            first.setdefault(pair.index, pair)  # a right one
        shown = []
        for index in spread(np.array(list(first)), self.attention):
            picture, caption = reader.picture(index), first[index].text
            words = word_maps(predictor, picture, caption)
            shown.append({"picture": picture, "caption": caption, "words": words})
        return shown


class Pair(NamedTuple):
    """A picture of a chunk and a text. kind: of the wrong one, here or beside it."""

    row: int
    index: int
    text: str
    truth: bool
    kind: str


def _pairs(chunk: Chunk) -> Iterator[Pair]:
    """A right caption, a wrong one; a right one, a wrong one."""
    for row, (index, example) in enumerate(
        zip(chunk.indices, chunk.examples, strict=True)
    ):
        kinds = example.negative_kinds or [""] * len(example.negatives)
        for wrong, kind in zip(example.negatives, kinds, strict=True):
            yield Pair(row, index, example.captions[0], True, kind)
            yield Pair(row, index, wrong, False, kind)


class Found(NamedTuple):
    """Of every pair: how likely it is to match, whether it does, its kind."""

    probability: Float[np.ndarray, " n"]
    truth: Bool[np.ndarray, " n"]
    kind: Shaped[np.ndarray, " n"]

    def _is_right(self) -> Bool[np.ndarray, " n"]:
        return (self.probability > LIKELY) == self.truth

    def kinds(self) -> list[dict[str, Any]]:
        """Name, number of wrong captions and accuracy of each kind."""
        is_right = self._is_right()
        return [
            {
                "name": str(kind),
                "count": int((~self.truth[self.kind == kind]).sum()),
                "accuracy": float(is_right[self.kind == kind].mean()),
            }
            for kind in np.unique(self.kind[self.kind != ""])
        ]

    def metrics(self) -> dict[str, float]:
        is_right = self._is_right()
        found = {
            "accuracy": float(is_right.mean()),
            "positive_accuracy": float(is_right[self.truth].mean()),
            "negative_accuracy": float(is_right[~self.truth].mean()),
            "auc": area_under_roc(self.probability, self.truth),
        }
        return found | {f"accuracy_{x['name']}": x["accuracy"] for x in self.kinds()}

    def surest_mistakes(self, count: int) -> list[int]:
        """The wrong ones, those farthest from LIKELY first."""
        wrong = np.flatnonzero(~self._is_right())
        sure = np.abs(self.probability[wrong] - LIKELY)
        return wrong[np.argsort(-sure, kind="stable")[:count]].tolist()


def _check(example: Example) -> None:
    if not example.captions or not example.negatives:
        raise BadSample("caption_missing", example.name)

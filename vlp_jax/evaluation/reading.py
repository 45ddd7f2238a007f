"""Walks a source for an evaluator: good samples in full chunks, bad ones counted."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from vlp_jax.core.errors import BadSample, ConfigError, RunError
from vlp_jax.core.logs import track
from vlp_jax.core.types import Example, Predictor, Source
from vlp_jax.parallel.hosts import check_same


class Chunk(NamedTuple):
    """Samples that could be read: their indices in the source, texts and pictures."""

    indices: list[int]
    examples: list[Example]
    pictures: UInt8[np.ndarray, "n s s 3"]


class Reader:
    """Iterates over the first `limit` samples of a source (None: all) as Chunks.

    Every chunk but the last fills a batch of the predictor. A sample is skipped when
    `source[i]`, `check(example)` or `predictor.prepare_image` raises BadSample;
    `skipped` counts them by cause.

    Several processes each read all samples. Raises RunError at the end when not one was
    good, and on all processes before a chunk of which they have not the same samples.
    """

    def __init__(
        self,
        source: Source,
        predictor: Predictor,
        limit: int | None = None,
        check: Callable[[Example], None] = lambda example: None,
    ):
        self.source, self.predictor, self.check = source, predictor, check
        self.size = len(source) if limit is None else min(limit, len(source))
        self.skipped: Counter[str] = Counter()

    def picture(self, index: int) -> UInt8[np.ndarray, "s s 3"]:
        """Sample `index` as the model sees it; read again rather than kept."""
        return self.predictor.prepare_image(self.source[index].image)

    def _good(self) -> Iterator[tuple[int, Example, np.ndarray]]:
        for index in range(self.size):
            try:
                example = self.source[index]
                self.check(example)
                picture = self.predictor.prepare_image(example.image)
            except BadSample as bad:
                self.skipped[bad.cause] += 1
                continue
            yield index, example, picture

    def __iter__(self) -> Iterator[Chunk]:
        self.skipped.clear()
        waiting = []
        for sample in self._good():
            waiting.append(sample)
            if len(waiting) == self.predictor.batch_size:
                yield self._chunk(waiting)
                waiting = []
        if waiting:
            yield self._chunk(waiting)
        self._check_same([])  # here too: another process may have one more
        if self.skipped.total() == self.size:
            causes = ", ".join(f"{n} {cause}" for cause, n in self.skipped.items())
            raise RunError(
                f"nothing to evaluate: none of the {self.size} samples of "
                f"{self.source.name} could be used ({causes or 'the source is empty'})"
            )

    def followed(self, what: str) -> Iterator[Chunk]:
        """The chunks, and a line now and then of how many there were: `what` 3/20."""
        return track(self, -(-self.size // self.predictor.batch_size), what)

    def _chunk(self, samples: list[tuple[int, Example, np.ndarray]]) -> Chunk:
        indices, examples, pictures = zip(*samples, strict=True)
        self._check_same(indices)
        return Chunk(list(indices), list(examples), np.stack(pictures))

    def _check_same(self, indices: Sequence[int]) -> None:
        try:
            check_same({"samples": np.array(indices, np.int64).tobytes()})
        except ConfigError:
            raise RunError(
                f"not all processes can read the same samples of {self.source.name}; "
                f"compare the files on their hosts (skipped here: {self.skipped})"
            ) from None


def encode_images(
    predictor: Predictor, pictures: UInt8[np.ndarray, "n s s 3"]
) -> Float[np.ndarray, "n e"]:
    """The predictor's embeddings of a chunk; RunError when they are not finite."""
    return _finite(predictor.encode_image(pictures), "image")


def encode_texts(
    predictor: Predictor, texts: Sequence[str]
) -> Float[np.ndarray, "n e"]:
    """The predictor's embeddings of texts; RunError when they are not finite."""
    return _finite(predictor.encode_text(texts), "text")


def match_pairs(
    predictor: Predictor,
    image_tokens: Float[np.ndarray, "pictures tokens w"],
    rows: Int[np.ndarray, " n"],
    texts: Sequence[str],
) -> Float[np.ndarray, " n"]:
    """The probabilities that picture rows[k] and texts[k] belong together.

    A batch of the predictor at a time, as tokens are large. RunError when they are not
    finite.
    """
    found = [np.zeros(0, np.float32)]
    for start in range(0, len(rows), predictor.batch_size):
        part = slice(start, start + predictor.batch_size)
        found.append(predictor.match(image_tokens[rows[part]], texts[part]))
    return _finite(np.concatenate(found), "match", "probabilities")


def _finite(found: np.ndarray, kind: str, what: str = "embeddings") -> np.ndarray:
    if not np.isfinite(found).all():
        raise RunError(
            f"the model's {kind} {what} hold NaN or infinity, so there is nothing to "
            "rank; look at the training loss, and evaluate an earlier checkpoint"
        )
    return found

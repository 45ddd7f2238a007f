"""Walks a source for an extraction: good samples in batches, bad ones counted."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from vlp_jax.core.errors import BadSample, RunError
from vlp_jax.core.logs import track
from vlp_jax.core.types import Example, Source
from vlp_jax.data.in_order import in_order
from vlp_jax.data.shards.folder import Counts
from vlp_jax.features.columns import unforeseen

PROBES = 8  # samples, evenly spread, that tell what a dataset has
FEW = 1000  # samples, of which the share of bad ones says nothing yet


class Bad(NamedTuple):
    """A sample that cannot be used."""

    name: str
    cause: str


class Good(NamedTuple):
    """A sample, its picture as the model sees it."""

    index: int
    example: Example  # without its picture
    picture: np.ndarray


def some_of(source: Source) -> list[Example]:
    """Examples, evenly spread, or the next ones where those cannot be read."""
    found, size = [], len(source)
    for number in range(PROBES):
        start, stop = number * size // PROBES, (number + 1) * size // PROBES
        for index in range(start, min(stop, start + PROBES)):
            try:
                found.append(source[index])
                break
            except BadSample:
                continue
    return found


class Samples:
    """Reads spans of a source one after another, some samples ahead of their use.

    Args:
      source: the samples.
      prepare: Example.image -> picture; raises BadSample.
      keys: the columns that there are for them.
      threads: that read and decode.
      max_bad_share: of all samples, beyond which it ends with a RunError.
      before: what was read in earlier runs.
    """

    def __init__(
        self,
        source: Source,
        prepare: Callable[[Any], np.ndarray],
        keys: Sequence[str],
        threads: int,
        max_bad_share: float,
        before: Counts,
    ):
        self.source, self.prepare, self.keys = source, prepare, keys
        self.threads, self.max_bad_share = threads, max_bad_share
        self._bad, self._seen = before, before.samples + before.bad.total()

    def spans(
        self, spans: Sequence[range], size: int, counts: Sequence[Counts]
    ) -> Iterator[Iterator[list[Good]]]:
        """For each span its batches of `size`; its counts become those of the span.

        A span is to be read to its end before the next one.
        """
        indices = itertools.chain.from_iterable(spans)
        looks = in_order(self._look, indices, self.threads)
        total = sum(map(len, spans))
        looks = track(looks, total, "samples embedded", "images/s")
        for span, own in zip(spans, counts, strict=True):
            yield self._batches(itertools.islice(looks, len(span)), size, own)
        for _ in looks:  # nothing is left; its last line is said
            pass

    def _look(self, index: int) -> Good | Bad:
        """Reads and decodes a sample; in a thread."""
        name = f"sample {index}"
        try:
            example = self.source[index]
            name = example.name or name
            picture = self.prepare(example.image)
        except BadSample as error:
            return Bad(name, error.cause)
        more = unforeseen(example, self.keys)
        if more:
            raise RunError(
                f"{name} of {self.source.name} has {more}, and none of the {PROBES} "
                "samples that were looked at first; extract the two kinds apart"
            )
        return Good(index, dataclasses.replace(example, image=b""), picture)

    def _batches(
        self, looks: Iterable[Good | Bad], size: int, counts: Counts
    ) -> Iterator[list[Good]]:
        waiting = []
        for look in looks:
            self._seen += 1
            if isinstance(look, Bad):
                counts.add_bad(look.cause, look.name)
                self._bad.add_bad(look.cause, look.name)
                self._check_share()
                continue
            counts.samples += 1
            waiting.append(look)
            if len(waiting) == size:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def _check_share(self) -> None:
        """RunError for too large a share, which fewer samples than FEW do not tell."""
        bad = self._bad.bad.total()
        if bad > self.max_bad_share * max(self._seen, FEW):
            raise RunError(
                f"{bad:,} of {self._seen:,} samples could not be used, more than "
                f"max_bad_share = {self.max_bad_share} "
                f"({'; '.join(self._bad.lines())}); repair the data or raise the limit"
            )

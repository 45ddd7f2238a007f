"""Several sources as one, behind the contract of a single source."""

import collections
from collections.abc import Mapping

import numpy as np

from vlp_jax.core.types import Example, Question, Source
from vlp_jax.data.parts import locate
from vlp_jax.data.questions import questions_of


class Mixture:
    """The samples of several sources, one source after the other.

    In which proportions they are read is the business of their order (order.py).
    """

    def __init__(self, sources: Mapping[str, Source]):
        self.sources = dict(sources)
        self._list = tuple(self.sources.values())
        self._ends = np.cumsum([len(source) for source in self._list])
        self.name = " + ".join(
            f"{name} ({source.name}, {len(source):,})"
            for name, source in self.sources.items()
        )
        # Where they differ, labels of one are not those of others.
        names = {tuple(source.class_names) for source in self._list}
        self.class_names: tuple[str, ...] = names.pop() if len(names) == 1 else ()
        self.dropped = collections.Counter()
        self.fingerprint: dict[str, str] = {}
        for name, source in self.sources.items():
            self.dropped.update(getattr(source, "dropped", {}))
            parts = source.fingerprint.items()
            self.fingerprint |= {f"{name}/{part}": found for part, found in parts}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample as the source of the sample does."""
        number, own = locate(self._ends, index)
        return self._list[number][own]

    def questions(self, index: int) -> tuple[Question, ...]:
        """Those of a sample, without its picture where its source can."""
        number, own = locate(self._ends, index)
        return questions_of(self._list[number], own)

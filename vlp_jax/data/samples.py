"""From a source to samples a model can eat: what all streams share."""

import abc
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from vlp_jax.core.errors import BAD_SAMPLE_CAUSES, BadSample, RunError
from vlp_jax.core.types import Example, Source
from vlp_jax.data.order import BlockOrder, MixedOrder, Order

PROBES = 8  # how many samples are tried in place of a bad one


class Samples(abc.ABC):
    """Random access by position: a picture, decoded and augmented, and its texts.

    A stream says in `check` which examples it can use, and in `texts` what it learns
    of them beside the picture (`picture`, which some do without).

    A sample that cannot be used is replaced by another, chosen by its index alone,
    and counted by cause in the sample itself, so that the counts are those of the
    samples consumed, on any number of hosts.

    Args:
      source: where examples come from.
      order: position -> index in the source, and what to try in place of a bad one.
      prepare: (Example.image, generator) -> uint8 [S, S, 3].
      tokenize: texts -> (tokens int32 [n, L], mask bool [n, L]).
      seed: of the augmentation and the choice of texts.
    """

    def __init__(
        self,
        source: Source,
        order: Order | BlockOrder | MixedOrder,
        prepare: Callable,
        tokenize: Callable,
        seed: int,
    ):
        self.source, self.order = source, order
        self.prepare, self.tokenize, self.seed = prepare, tokenize, seed
        self.bad_names: dict[str, set[str]] = defaultdict(set)

    @abc.abstractmethod
    def check(self, example: Example) -> None:
        """Raises BadSample where the example lacks what the stream is about."""

    @abc.abstractmethod
    def texts(
        self, example: Example, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """The arrays of a sample beside image, valid and sample_id."""

    def picture(
        self, example: Example, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """The picture, decoded and augmented."""
        return {"image": self.prepare(example.image, rng)}

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        index = self.order(position)
        rng = np.random.default_rng((self.seed, position))
        bad = np.zeros(len(BAD_SAMPLE_CAUSES), np.int32)
        for probe in range(PROBES):
            at = self.order.substitute(index, probe) if probe else index
            try:
                return self._sample(at, rng) | {"bad": bad}
            except BadSample as error:
                bad[BAD_SAMPLE_CAUSES.index(error.cause)] += 1
                self.remember_bad(error.cause, str(error.__notes__[0]))
        raise RunError(
            f"{self.source.name}: {PROBES} samples in a row cannot be used, from index "
            f"{index} on ({self.describe_bad()}); check the data"
        )

    def _sample(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        name = f"sample {index}"
        try:
            example: Example = self.source[index]
            name = example.name or name
            self.check(example)
            picture = self.picture(example, rng)
        except BadSample as error:
            error.add_note(name)
            raise
        return {
            **picture,
            **self.texts(example, rng),
            "valid": np.True_,
            "sample_id": np.int32(index % 2**31),
        }

    def remember_bad(self, cause: str, name: str) -> None:
        """Keeps the names of a few bad samples of each cause, for describe_bad."""
        if len(self.bad_names[cause]) < 5:
            self.bad_names[cause].add(name)

    def describe_bad(self) -> str:
        """Causes with the names of a few bad samples, for an error message."""
        return "; ".join(
            f"{cause}: {', '.join(sorted(tuple(names)))}"
            for cause, names in sorted(tuple(self.bad_names.items()))
        )

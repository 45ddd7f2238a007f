"""The streams `labels`, of pictures with a class, and `texts`, of texts with one."""

from collections.abc import Iterator

import numpy as np

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.types import Example, Source
from vlp_jax.data.pairs import choose_caption
from vlp_jax.data.samples import Samples


def check_label(example: Example, source: Source) -> None:
    """BadSample without a label; ConfigError for one that the source does not name."""
    if example.label is None:
        raise BadSample("label_missing")
    if not 0 <= example.label < len(source.class_names):
        raise ConfigError(
            f"{example.name or 'an example'} of {source.name} has the label "
            f"{example.label}; expected one of 0..{len(source.class_names) - 1}, the "
            "classes that the source names"
        )


class LabelledPictures(Samples):
    """Samples (samples.py) of pictures with their class."""

    def check(self, example: Example) -> None:
        check_label(example, self.source)

    def texts(
        self, example: Example, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        return {"label": np.int32(example.label)}


class LabelledTexts(Samples):
    """Samples (samples.py) of texts with their class; pictures are not looked at."""

    def check(self, example: Example) -> None:
        check_label(example, self.source)
        if not example.captions:
            raise BadSample("caption_missing")

    def picture(
        self, example: Example, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        return {}

    def texts(
        self, example: Example, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        tokens, mask = self.tokenize([choose_caption(example, rng)])
        return {
            "text_tokens": tokens[0],
            "text_mask": mask[0],
            "label": np.int32(example.label),
        }


class FewShots:
    """So many examples of each class of a source, drawn by a seed.

    They are found by reading examples in a random order until every class has its
    shots, or the source ends: ConfigError where a class then has none.
    """

    def __init__(self, source: Source, shots: int, seed: int):
        self.source, self.class_names = source, source.class_names
        self.name = f"{source.name} ({shots} a class)"
        chosen: dict[int, list[int]] = {n: [] for n in range(len(source.class_names))}
        for index in self._drawn(seed):
            try:
                example = source[index]
                check_label(example, source)
            except BadSample:
                continue
            mine = chosen[example.label]
            if len(mine) < shots:
                mine.append(index)
            if all(len(indices) == shots for indices in chosen.values()):
                break
        empty = [source.class_names[n] for n, mine in chosen.items() if not mine]
        if empty:
            raise ConfigError(
                f"shots={shots}: {source.name} has no example of {empty[0]!r} "
                f"({len(empty)} such classes); give a source with all of its classes"
            )
        self.indices = sorted(index for mine in chosen.values() for index in mine)
        self.fingerprint = {
            part: f"{digest} {shots} of seed {seed}"
            for part, digest in source.fingerprint.items()
        }

    def _drawn(self, seed: int) -> Iterator[int]:
        yield from np.random.default_rng(seed).permutation(len(self.source)).tolist()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        return self.source[self.indices[index]]

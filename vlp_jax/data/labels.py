"""The streams `labels`, of pictures with a class, and `texts`, of texts with one."""

from collections.abc import Iterator, Sequence

import numpy as np

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.logs import track
from vlp_jax.core.types import Example, Source
from vlp_jax.data.pairs import choose_caption
from vlp_jax.data.samples import Samples


def check_label(example: Example, classes: int) -> None:
    """BadSample without a label; ConfigError for one that no class has."""
    if example.label is None:
        raise BadSample("label_missing")
    if not 0 <= example.label < classes:
        raise ConfigError(
            f"{example.name or 'an example'} has the label {example.label}; expected "
            f"one of 0..{classes - 1}, the classes that its source names, or those of "
            "config.class_names"
        )


class LabelledPictures(Samples):
    """Samples (samples.py) of pictures with their class, one of so many."""

    def __init__(self, *common, classes: int):
        super().__init__(*common)
        self.classes = classes

    def check(self, example: Example) -> None:
        check_label(example, self.classes)

    def texts(
        self, example: Example, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        return {"label": np.int32(example.label)}


class LabelledTexts(LabelledPictures):
    """Samples of texts with their class; pictures are not looked at."""

    def check(self, example: Example) -> None:
        super().check(example)
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
        words = {"text_tokens": tokens[0], "text_mask": mask[0]}
        return words | super().texts(example, rng)


class FewShots:
    """So many examples of each class of a source, drawn by a seed.

    They are found by reading examples in a random order until every class has its
    shots, or the source ends: ConfigError where a class then has none.
    """

    def __init__(
        self, source: Source, shots: int, seed: int, class_names: Sequence[str]
    ):
        if not class_names:
            raise ConfigError(
                f"shots={shots}: {source.name} names no classes to draw from; name "
                "them by config.class_names"
            )
        self.source, self.class_names = source, source.class_names
        self.name = f"{source.name} ({shots} a class)"
        chosen: dict[int, list[int]] = {n: [] for n in range(len(class_names))}
        for index in self._drawn(seed):
            try:
                example = source[index]
                check_label(example, len(class_names))
            except BadSample:
                continue
            mine = chosen[example.label]
            if len(mine) < shots:
                mine.append(index)
            if all(len(indices) == shots for indices in chosen.values()):
                break
        empty = [class_names[n] for n, mine in chosen.items() if not mine]
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
        order = np.random.default_rng(seed).permutation(len(self.source)).tolist()
        return track(order, len(order), "examples read for their classes")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        return self.source[self.indices[index]]

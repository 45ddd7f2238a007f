"""Embeddings and labels of labelled sources: what kNN and linear probes start from.

The features are the predictor's image embeddings: after the projection, of length one.
CLIP's probes look at the output of the image tower before the projection (Radford et
al. 2021, appendix A.3), DINO's kNN at the class token. For those a Predictor would need
a method beside encode_image that returns what TwoTower.image gives, and `read_features`
would call it; nothing else here depends on the length or the width of a feature.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Example, Predictor, Source
from vlp_jax.evaluation.reading import Reader, encode_images


class Features(NamedTuple):
    """The samples of a source that could be read, in its order."""

    embeddings: Float[np.ndarray, "n e"]
    labels: Int[np.ndarray, " n"]
    skipped: Mapping[str, int]


class EvenlySpread:
    """`size` samples at even distances: of every class where classes come in turn."""

    def __init__(self, source: Source, size: int):
        self.source, self.size = source, min(size, len(source))
        self.name, self.class_names = source.name, source.class_names
        self.fingerprint = source.fingerprint

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Example:
        return self.source[index * len(self.source) // self.size]


def label_check(source: Source) -> Callable[[Example], None]:
    """For a Reader: ConfigError without a label, or for one that has no name."""
    known = len(source.class_names) or np.inf

    def check(example: Example) -> None:
        if example.label is None or not 0 <= example.label < known:
            expected = "a label" if known == np.inf else f"a label in 0..{known - 1}"
            raise ConfigError(
                f"the evaluator needs {expected} on every example, but "
                f"{example.name or 'one'} of {source.name} has {example.label}"
            )

    return check


def read_features(
    source: Source, predictor: Predictor, limit: int | None = None
) -> Features:
    """Embeds every picture of a source, or of its first `limit` samples.

    Raises ConfigError for an example without a label, or with one that has no name.
    """
    reader = Reader(source, predictor, limit, label_check(source))
    embeddings, labels = [], []
    for chunk in reader:
        embeddings.append(encode_images(predictor, chunk.pictures))
        labels += [example.label for example in chunk.examples]
    return Features(
        np.concatenate(embeddings), np.array(labels, np.int64), dict(reader.skipped)
    )


def check_same_classes(train: Source, test: Source, what: str) -> None:
    """ConfigError where the two sources name their classes differently."""
    if not len(train.class_names) or not len(test.class_names):
        return
    ours, theirs = list(train.class_names), list(test.class_names)
    if ours == theirs:
        return
    raise ConfigError(
        f"{what}: {train.name} has {len(ours)} classes and {test.name} {len(theirs)}, "
        f"and they differ ({_first_difference(ours, theirs)}); give two splits of one "
        "dataset, or the same class_names for both"
    )


def _first_difference(ours: list[str], theirs: list[str]) -> str:
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            return f"class {number} is {one!r} and {other!r}"
    return f"class {min(len(ours), len(theirs))} is in one of them only"


def class_count(train: Features, test: Features, source: Source) -> int:
    """How many classes there are, by the names or else by the labels."""
    largest = max(train.labels.max(), test.labels.max())
    return max(len(source.class_names), int(largest) + 1)

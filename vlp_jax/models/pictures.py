"""Pictures as a predictor takes them, a slice at a time."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from vlp_jax.core.errors import ConfigError


@runtime_checkable
class Pictures(Protocol):
    """uint8 [n, S, S, 3], or what gives slices of that."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> np.ndarray: ...


def check_pairs(pictures: Pictures, texts: Sequence[str], what: str) -> None:
    if len(pictures) != len(texts):
        raise ConfigError(
            f"{len(pictures)} pictures came with {len(texts)} {what}; give one for each"
        )

"""Sources in memory, and a model that embeds without a network."""

import numpy as np

from tests.evaluation.predictors import FakePredictor, random_embedding
from tests.recipes import tiny
from vlp_jax.core.types import Example
from vlp_jax.data.fingerprint import digest
from vlp_jax.trained import LoadedCheckpoint

WIDTH = 64  # of random_embedding


class Listed:
    """A source over a list; an exception in it is raised."""

    def __init__(self, *samples, class_names=(), name="listed"):
        self.samples, self.class_names, self.name = samples, class_names, name
        self.fingerprint = {"all": digest(str(samples))}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Example:
        if isinstance(self.samples[index], Exception):
            raise self.samples[index]
        return self.samples[index]


def plain(number: int, captions: int = 0, **fields) -> Example:
    """A picture of a number, with so many captions."""
    texts = tuple(f"text {n} of {number}" for n in range(captions))
    picture = np.full((2, 2, 3), number, np.uint8)
    return Example(picture, texts, name=f"{number}.png", **fields)


class Embedder(FakePredictor):
    """Embeds by chance what it is given; `able`: whether it does."""

    def __init__(self, weight: float = 1.0, batch_size: int = 4, able: bool = True):
        super().__init__(random_embedding, batch_size=batch_size)
        self.variables = {"params": {"w": np.full((2, 3), weight, np.float32)}}
        self.model, self.able = self, able

    def can(self, ability: str) -> bool:
        return self.able and super().can(ability)


def loaded(step: int = 3, path: str = "runs/fake", **given) -> LoadedCheckpoint:
    config = tiny(model__embedding_size=WIDTH)
    return LoadedCheckpoint(path, step, config, Embedder(**given), 6)

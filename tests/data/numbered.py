"""A source of numbered pictures with numbered captions, samples and batches of it."""

import jax
import numpy as np

from vlp_jax.core.errors import BadSample
from vlp_jax.core.types import Example
from vlp_jax.data.order import Order
from vlp_jax.data.pairs import PairSamples

LENGTH = 6  # of texts


class Numbers:
    """Example i is a picture of gray value i with the captions 'i a' and 'i b'."""

    class_names = ()
    name = "numbers"
    fingerprint = {"numbers": "0"}

    def __init__(self, size: int, bad: dict[int, str] | None = None):
        self.size, self.bad = size, bad or {}

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Example:
        if index in self.bad:
            raise BadSample(self.bad[index], "broken")
        image = np.full((4, 4, 3), index % 256, np.uint8)
        return Example(image, (f"{index} a", f"{index} b"), name=f"number {index}")


def prepare(image, rng):
    """An 'augmentation': the sum of the picture and a draw."""
    return image + rng.integers(0, 50, dtype=np.uint8)


def tokenize(texts):
    tokens = np.zeros((len(texts), LENGTH), np.int32)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = [ord(letter) for letter in text]
    return tokens, tokens > 0


def samples(size=40, seed=0, bad=None) -> PairSamples:
    return PairSamples(Numbers(size, bad), Order(size, seed), prepare, tokenize, seed)


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.bad == other.bad
        jax.tree.map(np.testing.assert_array_equal, one.arrays, other.arrays)

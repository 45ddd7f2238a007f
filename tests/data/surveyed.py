"""A source whose every sample is known, good and bad, and a survey of it."""

import numpy as np

from benchmarks.pictures import encode
from tests.core.parsed_page import EVIL
from vlp_jax.core.errors import BadSample
from vlp_jax.core.types import Example
from vlp_jax.data import check

GOOD = encode(np.full((60, 80, 3), 90, np.uint8))


OTHER = encode(np.full((300, 150, 3), 40, np.uint8))


SAMPLES = [
    Example(GOOD, ("a dog", "ein Hund"), name="1.jpg"),
    Example(OTHER, ("a dog",), name="2.jpg"),
    Example(GOOD, ("another dog",), name="copy of 1.jpg"),
    Example(GOOD[:300], ("half a dog",), name=f"{EVIL}.jpg"),
    Example(np.zeros((8, 8, 3), np.uint8), (EVIL, "x" * 5000), name="evil.png"),
    Example(GOOD, (), name="mute.jpg"),
    BadSample("image_missing", "no 7.jpg"),
    Example(b"<html>", ("a page",), name="8.jpg"),
]


class Listed:
    """The samples above, in memory."""

    name, class_names, fingerprint = "listed", (), {}
    dropped = {"caption_missing": 3}

    def __init__(self, samples=SAMPLES):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index: int) -> Example:
        if isinstance(self.samples[index], BadSample):
            raise self.samples[index]
        return self.samples[index]


def survey(threads=2, source=None, count_tokens=None) -> check.Survey:
    source = source or Listed()
    found = check.walk(source, range(len(source)), threads, count_tokens)
    return check.Survey(source).add_all(found)

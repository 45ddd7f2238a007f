"""Columns to write and read, of every kind."""

import numpy as np

from tests.features.embedding import plain
from vlp_jax.features.columns import Columns, columns_of, keys_of

SAMPLES = [
    (0, plain(0, 2, label=7, labels=(7, 1))),
    (2, plain(2, 0, labels=())),
    (3, plain(3, 1, label=0, labels=(2,))),
]


def columns(samples=SAMPLES, width: int = 5) -> Columns:
    """Of three samples with three captions, where nothing else is said."""
    keys = keys_of([example for _, example in SAMPLES], (), texts=True)
    rng, found = np.random.default_rng(0), columns_of(samples, keys)
    rows = {"image_embedding": len(samples), "text_embedding": len(found["captions"])}
    for key, count in rows.items():
        found[key] = rng.normal(size=(count, width)).astype(np.float32)
    return {key: found[key] for key in keys}


def assert_same(found: Columns, expected: Columns) -> None:
    assert list(found) == list(expected)
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values)
        kinds = found[key].dtype.kind, values.dtype.kind
        assert found[key].dtype == values.dtype or kinds == ("U", "U"), key

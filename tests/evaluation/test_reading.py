"""Chunks are full whatever is skipped; nothing to read is an error that says so."""

import pytest

from tests.evaluation.predictors import FakePredictor, Wrapped, random_embedding
from vlp_jax.core.errors import BadSample, RunError
from vlp_jax.evaluation.reading import Reader
from vlp_jax.evaluation.zero_shot import ZeroShot


def test_only_bad_samples_is_an_error_that_says_so(digits):
    broken = Wrapped(digits, {i: BadSample("image_missing") for i in range(300)})
    with pytest.raises(RunError, match=r"none of the 300 .* \(300 image_missing\)"):
        ZeroShot(broken).run(FakePredictor(random_embedding))


def test_chunks_are_full_whatever_is_skipped(digits):
    source = Wrapped(digits, {i: BadSample("image_missing") for i in (0, 5, 6)})
    reader = Reader(source, FakePredictor(random_embedding, batch_size=4), limit=13)
    assert [chunk.indices for chunk in reader] == [
        [1, 2, 3, 4],
        [7, 8, 9, 10],
        [11, 12],
    ]

"""Chunks are full whatever is skipped; nothing to read is an error that says so."""

import numpy as np
import pytest

from tests.evaluation.predictors import Able, FakePredictor, Wrapped, random_embedding
from vlp_jax.core.errors import BadSample, ConfigError, RunError
from vlp_jax.evaluation import reading
from vlp_jax.evaluation.reading import Reader, match_pairs
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


def test_slow_evaluators_say_how_far_they_are(digits, capsys):
    reader = Reader(digits, FakePredictor(random_embedding, batch_size=4), limit=10)
    chunks = reader.followed("batches captioned")
    assert [len(chunk.indices) for chunk in chunks] == [4, 4, 2]
    assert "batches captioned 3/3" in capsys.readouterr().out


@pytest.mark.parametrize(("missing", "differs"), [(5, 1), (12, 3), (None, None)])
def test_processes_that_cannot_read_the_same_samples_say_so(
    digits, monkeypatch, missing, differs
):
    """Before the first chunk that differs; where only one has a last one, too."""
    told = []

    def read(replaced) -> int:
        source = Wrapped(digits, replaced)
        reader = Reader(source, FakePredictor(random_embedding, batch_size=4), limit=13)
        return len(list(reader))

    monkeypatch.setattr(reading, "check_same", lambda x: told.append(x))
    assert read({}) == 4 and len(told) == 5

    def same_as_there(contents):
        at[0] += 1
        if contents != told[at[0] - 1]:
            raise ConfigError("process 1 has other samples")

    at = [0]
    monkeypatch.setattr(reading, "check_same", same_as_there)
    if missing is None:
        assert read({}) == 4
        return
    with pytest.raises(RunError, match="not all processes can read the same samples"):
        read({missing: BadSample("image_missing")})
    assert at == [differs + 1]


def test_pairs_are_matched_a_batch_at_a_time():
    predictor = Able([], 4, match=lambda number, text: number / 10 + len(text) / 100)
    tokens = np.arange(3, dtype=np.float32)[:, None, None]
    rows = np.array([2, 0, 0, 1, 2])
    found = match_pairs(predictor, tokens, rows, ["a", "b", "cc", "", "a"])
    assert found == pytest.approx([0.21, 0.01, 0.02, 0.1, 0.21])
    assert predictor.asked["match"] == [4, 1]
    assert len(match_pairs(predictor, tokens, rows[:0], [])) == 0
    predictor.abilities["match"] = lambda number, text: np.inf
    with pytest.raises(RunError, match="match probabilities hold NaN or infinity"):
        match_pairs(predictor, tokens, rows, ["a"] * 5)

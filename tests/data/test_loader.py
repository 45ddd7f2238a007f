"""Batches depend on (seed, step) and nothing else; bad samples in them are replaced."""

import itertools
from collections import Counter

import jax
import numpy as np
import pytest

from tests.data.numbered import (
    LENGTH,
    Numbers,
    assert_equal,
    prepare,
    samples,
    tokenize,
)
from vlp_jax.core.errors import RunError
from vlp_jax.data.loader import HostBatch, Loader, joined
from vlp_jax.data.order import Order
from vlp_jax.data.pairs import PairSamples
from vlp_jax.parallel.sharding import Share


def batches(count: int, first_step=0, batch_size=8, threads=2, share=None, **keywords):
    loader = Loader(samples(**keywords), batch_size, threads, share)
    return list(itertools.islice(loader.batches(first_step), count))


def ids(found) -> list[int]:
    return [int(i) for batch in found for i in batch.arrays["pairs"]["sample_id"]]


# ---- batches


def test_keys_shapes_and_dtypes():
    (batch,) = batches(1)
    arrays = batch.arrays["pairs"]
    assert {k: (v.shape, v.dtype.name) for k, v in arrays.items()} == {
        "image": ((8, 4, 4, 3), "uint8"),
        "text_tokens": ((8, LENGTH), "int32"),
        "text_mask": ((8, LENGTH), "bool"),
        "valid": ((8,), "bool"),
        "sample_id": ((8,), "int32"),
    }
    assert arrays["valid"].all() and batch.bad == {}


def test_the_text_belongs_to_the_picture():
    for batch in batches(5):
        arrays = batch.arrays["pairs"]
        for index, tokens in zip(
            arrays["sample_id"], arrays["text_tokens"], strict=True
        ):
            text = "".join(map(chr, tokens[tokens > 0]))
            assert text in (f"{index} a", f"{index} b")


def test_captions_and_crops_are_drawn_anew_in_every_pass():
    found = batches(10)  # two passes over 40
    arrays = [
        np.concatenate([b.arrays["pairs"][key] for b in found])
        for key in ("sample_id", "text_tokens", "image")
    ]
    first, second = (
        [x[s][np.argsort(arrays[0][s])] for x in arrays]
        for s in (slice(0, 40), slice(40, 80))
    )
    np.testing.assert_array_equal(first[0], second[0])
    assert 5 < sum((first[1] != second[1]).any(1)) < 35
    assert sum((first[2] != second[2]).any((1, 2, 3))) > 30


@pytest.mark.parametrize("first_step", [1, 7])
def test_starting_at_a_step_equals_skipping_to_it(first_step):
    bad = {3: "image_empty", 20: "image_missing"}
    expected = batches(first_step + 4, bad=bad)[first_step:]
    assert_equal(batches(4, first_step, bad=bad), expected)


def test_threads_change_nothing():
    bad = {5: "image_truncated"}
    expected = batches(6, threads=0, bad=bad)
    for threads in (1, 8):
        assert_equal(batches(6, threads=threads, bad=bad), expected)


@pytest.mark.parametrize(
    "shares",
    [
        ([0, 1, 2, 3], [4, 5, 6, 7]),
        ([0, 1], [2, 3], [4, 5], [6, 7]),
        ([0, 1, 4, 5], [2, 3, 6, 7]),  # as a mesh may lay the hosts of a TPU slice
    ],
)
def test_rows_of_the_processes_make_the_batch_of_one(shares):
    bad = {3: "image_empty", 20: "image_missing", 21: "image_missing"}
    expected = batches(8, first_step=2, bad=bad)
    parts = [
        batches(
            8,
            first_step=2,
            bad=bad,
            share=Share(np.array(rows), np.ones(len(rows), bool)),
        )
        for rows in shares
    ]
    back = np.argsort(np.concatenate(shares))
    for step, whole in enumerate(expected):
        mine = [part[step] for part in parts]
        joined = jax.tree.map(
            lambda *x: np.concatenate(x)[back], *(b.arrays for b in mine)
        )
        jax.tree.map(np.testing.assert_array_equal, joined, whole.arrays)
        assert sum((Counter(b.bad) for b in mine), Counter()) == whole.bad


def test_rows_that_another_process_counts_are_read_all_the_same():
    bad = dict.fromkeys(range(0, 40, 2), "image_missing")
    all_rows, uneven = np.arange(8), np.arange(8) % 2 == 1
    whole = batches(5, bad=bad)
    halves = [batches(5, bad=bad, share=Share(all_rows, x)) for x in (uneven, ~uneven)]
    for batch, *parts in zip(whole, *halves, strict=True):
        for part in parts:
            jax.tree.map(np.testing.assert_array_equal, part.arrays, batch.arrays)
        assert sum((Counter(b.bad) for b in parts), Counter()) == batch.bad
    assert all(sum((Counter(b.bad) for b in half), Counter()) for half in halves)


def test_a_batch_larger_than_the_data():
    found = ids(batches(3, batch_size=8, size=3))
    for start in range(0, 24, 3):
        assert sorted(found[start : start + 3]) == [0, 1, 2]


# ---- several streams


class Counting:
    """An endless stream of batches that knows whether it was closed."""

    def __init__(self, name: str, bad: dict[str, int], fails_at: int = -1):
        self.name, self.bad, self.fails_at, self.closed = name, bad, fails_at, False

    def __call__(self):
        try:
            for step in itertools.count():
                if step == self.fails_at:
                    raise RunError("no more")
                yield HostBatch({self.name: {"step": np.array([step])}}, self.bad)
        finally:
            self.closed = True


def test_batches_of_streams_are_joined():
    one = Counting("pairs", {"image_empty": 2, "image_missing": 1})
    other = Counting("questions", {"image_empty": 3})
    both = joined([one(), other()])
    for step in range(3):
        batch = next(both)
        assert {k: v["step"].item() for k, v in batch.arrays.items()} == {
            "pairs": step,
            "questions": step,
        }
        assert batch.bad == {"image_empty": 5, "image_missing": 1}
    assert not one.closed and not other.closed
    both.close()
    assert one.closed and other.closed


def test_where_a_stream_fails_the_others_are_closed():
    one, other = Counting("pairs", {}), Counting("questions", {}, fails_at=2)
    both = joined([one(), other()])
    assert next(both).bad == next(both).bad == {}
    with pytest.raises(RunError, match="no more"):
        next(both)
    assert one.closed and other.closed


# ---- bad samples


def test_a_bad_sample_is_replaced_and_counted():
    bad = {3: "image_empty", 20: "image_missing"}
    good, found = batches(5), batches(5, bad=bad)
    assert set(ids(good)) == set(range(40))
    assert set(ids(found)) == set(range(40)) - {3, 20}
    assert sum((Counter(b.bad) for b in found), Counter()) == {
        "image_empty": 1,
        "image_missing": 1,
    }
    # All other samples are untouched, down to their augmentation.
    for one, other in zip(good, found, strict=True):
        same = one.arrays["pairs"]["sample_id"] == other.arrays["pairs"]["sample_id"]
        for key in one.arrays["pairs"]:
            np.testing.assert_array_equal(
                one.arrays["pairs"][key][same], other.arrays["pairs"][key][same]
            )
    replaced = [a for a, b in zip(ids(good), ids(found), strict=True) if a != b]
    assert sorted(replaced) == [3, 20]


def test_nothing_but_bad_samples_is_an_explained_error():
    bad = dict.fromkeys(range(40), "image_unreadable")
    with pytest.raises(RunError) as caught:
        batches(1, bad=bad)
    assert "numbers: 8 samples in a row cannot be used" in str(caught.value)
    assert "image_unreadable: " in str(caught.value)


def test_a_bug_in_the_source_is_not_hidden():
    class Broken(Numbers):
        def __getitem__(self, index):
            raise ZeroDivisionError("a bug")

    loader = Loader(
        PairSamples(Broken(4), Order(4, 0), prepare, tokenize, 0), 4, threads=2
    )
    with pytest.raises(ZeroDivisionError):
        next(loader.batches(0))

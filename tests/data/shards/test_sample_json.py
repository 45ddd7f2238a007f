"""What stands beside a picture in our shards."""

import json

import numpy as np
import pytest

from vlp_jax.core.types import Example, Question, Region
from vlp_jax.data.shards.sample_json import (
    MARK,
    from_json,
    from_run_lengths,
    run_lengths,
    to_json,
)


def test_run_lengths_are_cocos():
    mask = np.array([[0, 1, 1], [0, 1, 0]], bool)
    assert run_lengths(mask) == [2, 3, 1]
    assert run_lengths(~mask) == [0, 2, 3, 1]
    assert run_lengths(np.zeros((2, 2), bool)) == [4]
    for seed in range(20):
        mask = np.random.default_rng(seed).random((7, 5)) < 0.5
        assert np.array_equal(from_run_lengths(run_lengths(mask), [7, 5]), mask)


@pytest.mark.parametrize(
    ("counts", "size"),
    [([3], [2, 2]), ([5], [2, 2]), ([-1, 5], [2, 2]), ([1], [-1, -1]), ([[4]], [2, 2])],
)
def test_run_lengths_that_fill_no_mask(counts, size):
    with pytest.raises(ValueError):
        from_run_lengths(counts, size)


@pytest.mark.parametrize("labels", [None, (), (3, 0)])
def test_labels_there_and_back(labels):
    content = json.loads(json.dumps(to_json(Example(image=b"", labels=labels))))
    assert from_json(content)["labels"] == labels


def test_an_example_there_and_back():
    example = Example(
        image=b"",
        captions=("a", "二"),
        caption_weights=(1.0, 3.0),
        label=np.int64(0),
        questions=(Question("what?", ("this", "that"), "7"),),
        regions=(Region((np.int64(1), 2, 3, 4), 5),),
        name="photos/\udcff.jpg",
    )
    content = json.loads(json.dumps(to_json(example)))
    assert content["label"] == 0 and content["name"] == example.name
    found = from_json(content)
    assert found["captions"] == example.captions
    assert found["questions"] == example.questions
    assert found["regions"] == (Region((1, 2, 3, 4), 5),)
    assert found["caption_weights"] == (1.0, 3.0) and found["label"] == 0


def test_negatives_there_and_back():
    example = Example(b"", negatives=("a", "b"), negative_kinds=("size", "digit"))
    found = from_json(json.loads(json.dumps(to_json(example))))
    assert found["negatives"] == example.negatives
    assert found["negative_kinds"] == example.negative_kinds
    with pytest.raises(ValueError, match="as many negative_kinds as negatives"):
        from_json({MARK: "1", "negatives": ["a"], "negative_kinds": ["size", "digit"]})


def test_what_is_empty_is_left_out():
    assert to_json(Example(b"")) == {"vlp_jax": "1"}
    assert from_json({"vlp_jax": "1"})["captions"] == ()
    for content in ({}, {"vlp_jax": "2"}, {"vlp_jax": "1", "captions": "text"}):
        with pytest.raises(ValueError):
            from_json(content)


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    "counts, size",
    [
        ([2**62] * 4 + [4], [2, 2]),  # their sum as 64-bit numbers would be 4
        ([5, -1], [2, 2]),
        ([10**9], [10**5, 10**5]),
    ],
)
def test_run_lengths_that_lie(counts, size):
    with pytest.raises(ValueError):
        from_run_lengths(counts, size)


@pytest.mark.fault("F20")
def test_many_large_masks_are_refused_before_one_is_made():
    mask = {"size": [5000, 5000], "counts": [25_000_000]}
    region = {"box": [0, 0, 1, 1], "label": 0, "mask": mask}
    with pytest.raises(ValueError, match="masks of more than 25,000,000 pixels"):
        from_json({MARK: "1", "regions": [region] * 2})


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0], [float("nan"), 1.0]])
def test_weights_that_nothing_can_be_drawn_by(weights):
    with pytest.raises(ValueError, match="caption_weights"):
        from_json({MARK: "1", "captions": ["a", "b"], "caption_weights": weights})

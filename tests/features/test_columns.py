"""Columns of samples with and without labels and captions."""

import numpy as np
import pytest

from tests.features.embedding import plain
from vlp_jax.features.columns import (
    columns_of,
    form_of,
    joined,
    keys_of,
    parts,
    unforeseen,
)

EVERYTHING = (
    *("index", "name", "image_embedding", "label", "labels", "labels_count"),
    *("captions", "captions_count", "text_embedding"),
)


@pytest.mark.parametrize(
    ("examples", "class_names", "texts", "more"),
    [
        ([plain(1)], (), True, []),
        ([plain(1)], ("a",), True, ["label"]),
        ([plain(1), plain(2, label=0)], (), True, ["label"]),
        ([plain(1, labels=())], (), True, ["labels", "labels_count"]),
        ([plain(1, 2)], (), False, ["captions", "captions_count"]),
        ([plain(1, 1, label=3, labels=(3,))], (), True, EVERYTHING[3:]),
        ([], (), True, []),
    ],
)
def test_a_dataset_has_the_columns_that_its_samples_need(
    examples, class_names, texts, more
):
    found = keys_of(examples, class_names, texts)
    assert found == (*EVERYTHING[:3], *more)
    assert not any(unforeseen(example, found) for example in examples)


def test_what_was_not_foreseen():
    keys = keys_of([plain(1)], (), True)
    assert unforeseen(plain(1, 1, label=0), keys) == "label, captions, captions_count"
    assert unforeseen(plain(1), keys) == ""


def test_rows_lie_one_after_another():
    samples = [
        (4, plain(4, 2, label=7, labels=(7, 1))),
        (6, plain(6, 0)),
        (9, plain(9, 1, label=0, labels=())),
    ]
    found = columns_of(samples, EVERYTHING)
    assert found["index"].tolist() == [4, 6, 9] and found["label"].tolist() == [
        7,
        -1,
        0,
    ]
    assert found["labels"].tolist() == [7, 1]
    assert found["labels_count"].tolist() == [2, 0, 0]
    assert found["captions"].tolist() == ["text 0 of 4", "text 1 of 4", "text 0 of 9"]
    assert found["captions_count"].tolist() == [2, 0, 1]
    captions = [part.tolist() for part in parts(found, "captions")]
    assert captions == [["text 0 of 4", "text 1 of 4"], [], ["text 0 of 9"]]
    assert "image_embedding" not in found
    twice = joined([found, found])
    assert twice["captions_count"].sum() == len(twice["captions"]) == 6


def test_nothing_and_odd_texts():
    nothing = columns_of([], EVERYTHING)
    assert {key: len(values) for key, values in nothing.items()} == dict.fromkeys(
        nothing, 0
    )
    assert nothing["captions"].dtype.kind == "U" and nothing["label"].dtype == np.int64
    found = columns_of([(0, plain(1, labels=()))], ("name",))
    assert list(found) == ["name"]
    odd = plain(1)
    object.__setattr__(odd, "name", "photos/\udcff 绿.jpg")
    assert columns_of([(0, odd)], ("name",))["name"].tolist() == [
        "photos/\\udcff 绿.jpg"
    ]


def test_forms_for_the_manifest():
    assert form_of("text_embedding", 8) == {
        "dtype": "float32",
        "shape": ["captions", 8],
    }
    assert form_of("image_embedding", 8)["shape"] == ["samples", 8]
    assert form_of("captions", 8) == {"dtype": "str", "shape": ["captions"]}
    assert form_of("labels", 8) == {"dtype": "int64", "shape": ["labels"]}
    assert form_of("labels_count", 8) == {"dtype": "int64", "shape": ["samples"]}

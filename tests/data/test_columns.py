"""Records become examples by the names of their columns."""

import pytest

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.types import Example
from vlp_jax.data.classes import Classes
from vlp_jax.data.columns import Columns, first
from vlp_jax.data.files import LIMITS

PLAIN = Columns("image", "caption", None, Classes())
UNNAMED = Columns("image", "caption", "label", Classes())
LABELLED = Columns("image", "caption", "label", Classes(("cat", "dog"), ("a {}",)))


def bad(columns: Columns, **record) -> str:
    with pytest.raises(BadSample) as caught:
        columns.example({"image": b"pixels", "caption": "a dog"} | record, "")
    return str(caught.value)


# ---- which columns are read


def test_only_the_columns_in_use_are_read():
    known = ("width", "label", "caption", "image")
    assert PLAIN.used(known, "x") == ["image", "caption"]
    assert LABELLED.used(known, "x") == ["image", "caption", "label"]
    assert LABELLED.used(("image", "label"), "x") == ["image", "label"]


@pytest.mark.parametrize(
    ("columns", "known", "said"),
    [
        (
            PLAIN,
            ("pixels", "caption"),
            "x has no column 'image'; there are: caption, pixels.*set image_column",
        ),
        (PLAIN, ("image", "captoin"), "set caption_column; did you mean 'captoin'"),
        (LABELLED, ("image", "caption"), "no column 'label'.*set label_column"),
        # A label without names captions nothing.
        (UNNAMED, ("image", "label"), "no column 'caption'.*set caption_column"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_its_setting(columns, known, said):
    with pytest.raises(ConfigError, match=said):
        columns.used(known, "x")


# ---- records


@pytest.mark.parametrize(
    ("caption", "captions"),
    [
        (" a\tdog ", ("a dog",)),
        (b"caf\xc3\xa9", ("café",)),
        (["one", "", b"two", None, 3], ("one", "two")),
        (("one", b"\xff"), ("one",)),
    ],
)
def test_captions_as_they_come(caption, captions):
    record = {"image": b"pixels", "caption": caption}
    expected = Example(b"pixels", captions, name="file/3")
    assert PLAIN.example(record, "file/3") == expected


@pytest.mark.parametrize(
    "image", [b"pixels", {"bytes": b"pixels", "path": "a.jpg"}, [b"pixels"]]
)
def test_pictures_as_they_come(image):
    example = PLAIN.example({"image": image, "caption": "a dog"}, "")
    assert (example.image, example.label) == (b"pixels", None)


@pytest.mark.parametrize(
    ("record", "captions", "label"),
    [
        ({"caption": "mine", "label": 1}, ("mine",), 1),
        ({"label": 1}, ("a dog",), 1),
        ({"label": [0]}, ("a cat",), 0),  # as tf.train.Example has it
    ],
)
def test_a_label_captions_what_has_no_caption(record, captions, label):
    example = LABELLED.example({"image": b"pixels"} | record, "")
    assert (example.captions, example.label) == (captions, label)


def test_a_label_without_a_name_captions_nothing():
    with pytest.raises(BadSample, match="caption_missing"):
        UNNAMED.example({"image": b"pixels", "label": 1}, "")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (None, "image_missing: nothing in 'image'"),
        ([], "image_missing: nothing in 'image'"),
        ({"path": "a.jpg"}, "image_missing: nothing in 'image'"),
        ("a.jpg", "image_unreadable: 'image' holds str, expected bytes"),
        ([b"one", b"two"], "image_unreadable: 'image' holds list, expected bytes"),
    ],
)
def test_pictures_that_are_none(image, said):
    assert bad(PLAIN, image=image) == said


def test_a_picture_too_large(monkeypatch):
    monkeypatch.setitem(LIMITS, "image", 1000)
    assert bad(PLAIN, image=bytes(1001)) == "image_too_large: 1,001 bytes"
    assert PLAIN.example({"image": bytes(1000), "caption": "x"}, "").image == bytes(
        1000
    )


@pytest.mark.parametrize(
    ("caption", "cause"),
    [
        (None, "caption_missing"),
        ([], "caption_missing"),
        (3, "caption_missing"),
        (b"caf\xe9", "caption_unreadable"),
        ("x" * 20_000, "caption_too_long"),
        (bytes(LIMITS["caption"] + 1), "caption_too_long"),
    ],
)
def test_captions_that_are_none(caption, cause):
    assert bad(PLAIN, caption=caption) == f"{cause}: caption"


@pytest.mark.parametrize(
    ("columns", "record"),
    [
        (PLAIN, {"image": b"pixels"}),
        (PLAIN, {"image": b"pixels", "label": 1}),
        (
            Columns("image", "caption", "label", Classes()),
            {"image": b"x", "label": "a"},
        ),
    ],
)
def test_a_record_that_nothing_captions(columns, record):
    with pytest.raises(BadSample, match="^caption_missing: caption$"):
        columns.example(record, "")


@pytest.mark.parametrize("label", [2, -1, None, "dog", 1.0])
def test_labels_that_are_none(label):
    assert bad(LABELLED, label=label) == f"label_unreadable: {label!r} of 2 classes"


@pytest.mark.parametrize(
    ("value", "found"), [([3], 3), ([], None), ([3, 4], [3, 4]), (3, 3), (b"ab", b"ab")]
)
def test_what_is_in_a_list_of_one(value, found):
    assert first(value) == found

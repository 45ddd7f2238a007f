"""ArrayRecord files of tf.train.Example, and what is none of it."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from array_record.python.array_record_module import ArrayRecordWriter

from tests.data.records import example
from tests.data.sources.conftest import cause_of
from tests.data.tars import BLUE, GREEN, RED
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.fingerprint import difference
from vlp_jax.data.sources.array_record import ArrayRecord


def write(path, records) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record if isinstance(record, bytes) else example(record))
    writer.close()
    return str(path)


def record(number: int) -> dict:
    return {
        "image": [(RED, BLUE, GREEN)[number % 3]],
        "caption": [f"number {number}".encode()],
        "label": [number % 3],
    }


@pytest.fixture
def folder(tmp_path):
    for n in range(2):
        path = tmp_path / "set" / f"x-train.array_record-0000{n}-of-00002"
        write(path, [record(5 * n + i) for i in range(5)])
    return tmp_path / "set"


def test_records_of_two_files(folder):
    source = ArrayRecord(str(folder), label_column="label")
    assert len(source) == 10 and source.name == "array_record/set"
    found = source[7]
    assert (found.image, found.captions, found.label) == (BLUE, ("number 7",), 1)
    assert found.name == "x-train.array_record-00001-of-00002/2"
    copy = pickle.loads(pickle.dumps(source))
    with ThreadPoolExecutor(4) as pool:
        names = [
            e.captions[0] for e in pool.map(copy.__getitem__, list(range(10)) * 20)
        ]
    assert names == [f"number {n}" for n in range(10)] * 20
    with pytest.raises(IndexError):
        source[10]


def test_captions_of_labels(folder):
    chosen = {"label_column": "label", "caption_column": "none"}
    source = ArrayRecord(str(folder), class_names=("red", "blue", "green"), **chosen)
    assert source[1].captions == ("a photo of a blue",)
    few = ArrayRecord(str(folder), class_names=("red",), **chosen)
    assert few[0].label == 0 and cause_of(few, 1) == "label_unreadable"


def test_several_texts_and_broken_records(tmp_path):
    good = {"image": [RED], "captions/text": [b"one", b"", b"\xff", b"two"]}
    records = [
        good,
        b"\x80\x04cos\nsystem\n.",
        {"captions/text": [b"no picture"], "image": []},
        {"image": [RED], "captions/text": []},
        {"image": [RED], "captions/text": [b"\xff\xfe"]},
        {"image": [RED], "captions/text": [b"x" * 20_000]},
        {"image": [3], "captions/text": [b"a number"]},
    ]
    path = write(tmp_path / "a.array_record", records)
    source = ArrayRecord(path, caption_column="captions/text")
    assert source[0].captions == ("one", "two")
    assert [cause_of(source, n) for n in range(1, 7)] == [
        "image_unreadable",
        "image_missing",
        "caption_missing",
        "caption_unreadable",
        "caption_too_long",
        "image_unreadable",
    ]


def test_a_flipped_bit_is_a_bad_sample(tmp_path):
    records = [record(n) | {"filling": [bytes([n]) * 300]} for n in range(5)]
    path = write(tmp_path / "a.array_record", records)
    source = ArrayRecord(path)
    before = source.fingerprint
    data = bytearray((tmp_path / "a.array_record").read_bytes())
    data[data.index(b"number 2")] ^= 1
    (tmp_path / "a.array_record").write_bytes(data)
    source = ArrayRecord(path)
    assert cause_of(source, 2) == "image_unreadable"
    assert source[3].captions == ("number 3",)
    write(tmp_path / "a.array_record", records[:3])
    assert (
        difference(before, ArrayRecord(path).fingerprint) == "1 changed: a.array_record"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>" * 99, "is no ArrayRecord file"),
        (b"", "is no ArrayRecord file"),
        ([], "its 1 files have no record"),
        ([b"plain"], "its records are no tf.train.Example"),
        (
            [{"picture": [RED]}],
            "has no column 'image'; there are: picture.*image_column",
        ),
        ([{"image": [RED], "captoin": [b""]}], "'caption'.*did you mean 'captoin'"),
    ],
)
def test_what_is_refused(tmp_path, content, said):
    path = tmp_path / "a.array_record"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        write(path, content)
    with pytest.raises(ConfigError, match=said) as caught:
        ArrayRecord(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        ArrayRecord(str(tmp_path / "a.array_record"))
    with pytest.raises(ConfigError, match="reads local files"):
        ArrayRecord("memory://x/a.array_record")

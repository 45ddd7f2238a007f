"""Shards with broken members, hostile ones, and shards that change while in use."""

import json
import os

import pytest

from tests.data.sources.one_shard import cause_of, one
from tests.data.tars import RED, entry, pairs, png_claiming, write_tar
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.files import LIMITS
from vlp_jax.data.fingerprint import difference
from vlp_jax.data.sources.webdataset import WebDataset

BROKEN_PICTURES = {
    "image_truncated": RED[: len(RED) // 2],
    "image_empty": b"",
    "image_unreadable": b"<!DOCTYPE html><html>404</html>",
    "image_too_large": png_claiming(50_000, 50_000),
}


BROKEN_TEXTS = {
    "caption_unreadable": ("txt", b"caf\xe9 noir"),
    "caption_too_long": ("txt", b"long " * 3000),
    "caption_unreadable ": ("json", b'{"caption": "cut o'),
    "caption_unreadable  ": ("json", b"[1]"),
    "caption_missing": ("json", json.dumps({"caption": "\x07\x08"}).encode()),
    "caption_too_long ": ("json", json.dumps({"caption": "w " * 9000}).encode()),
}


@pytest.mark.fault("F11")
def test_every_kind_of_broken_member_has_its_cause(tmp_path):
    data = pairs(2)
    for number, content in enumerate(BROKEN_PICTURES.values(), 10):
        data |= {f"{number}.jpg": content, f"{number}.txt": "a caption"}
    for number, (field, content) in enumerate(BROKEN_TEXTS.values(), 20):
        data |= {f"{number}.jpg": RED, f"{number}.{field}": content}
    data |= {"30.jpg": RED, "31.txt": "no picture", "32.jpg": RED, "32.txt": b"\n"}
    source = one(tmp_path, data)
    assert source.dropped == {"caption_missing": 2, "image_missing": 1}
    expected = [*BROKEN_PICTURES, *BROKEN_TEXTS]
    assert len(source) == 2 + len(expected)
    found = [cause_of(source, n) for n in range(2, len(source))]
    assert found == [cause.strip() for cause in expected]


@pytest.mark.fault("F20")
def test_members_too_large_are_refused_by_their_size(tmp_path, monkeypatch):
    """A text of 100 MB (a hole in the file) is neither read for the index nor later."""
    path = tmp_path / "set" / "00.tar"
    path.parent.mkdir()
    size = 100 * 2**20
    with open(path, "wb") as file:
        for name in ("a.jpg", "b.jpg"):
            file.write(entry(name, size=len(RED)).tobuf() + RED.ljust(1024))
        for name in ("a.txt", "b.json"):
            file.write(entry(name, size=size).tobuf())
            file.seek(size, os.SEEK_CUR)
        file.write(bytes(1024))
    source = WebDataset(str(path))
    largest = 0
    pread = os.pread

    def watched(number, count, offset):
        nonlocal largest
        largest = max(largest, count)
        return pread(number, count, offset)

    monkeypatch.setattr(os, "pread", watched)
    assert [cause_of(source, n) for n in range(2)] == ["caption_too_long"] * 2
    assert largest < 2**21
    monkeypatch.setitem(LIMITS, "image", 99)
    assert cause_of(source, 0) == "image_too_large"


@pytest.mark.fault("F20")
def test_json_that_claims_to_be_ours(tmp_path):
    wrong = [
        {"vlp_jax": "2", "captions": ["x"]},
        {"vlp_jax": "1", "captions": ["x"], "label": "dog"},
        {"vlp_jax": "1", "captions": ["x"], "questions": [{"question": "?"}]},
        {"vlp_jax": "1", "captions": ["x"], "regions": [{"box": [1], "label": 1}]},
        {
            "vlp_jax": "1",
            "captions": ["x"],
            "regions": [
                {
                    "box": [0, 0, 1, 1],
                    "label": 1,
                    "mask": {"size": [10**6, 10**6], "counts": [10**12]},
                }
            ],
        },
        {"vlp_jax": "1", "captions": ["x"], "caption_weights": [1, 2]},
    ]
    data = {}
    for number, content in enumerate(wrong):
        data |= {f"{number}.jpg": RED, f"{number}.json": json.dumps(content)}
    source = one(tmp_path, data)
    found = [cause_of(source, n) for n in range(len(wrong))]
    assert found == ["caption_unreadable"] * len(wrong)


# ---- shards that change


@pytest.mark.fault("F13")
def test_the_fingerprint_names_the_shard(tmp_path):
    for number in range(3):
        write_tar(tmp_path / "set" / f"{number}.tar", pairs(2, start=2 * number))
    urls = str(tmp_path / "set")
    before = WebDataset(urls).fingerprint
    assert set(before) == {"0.tar", "1.tar", "2.tar", "fields"}
    moved = tmp_path / "elsewhere"
    (tmp_path / "set").rename(moved)
    assert WebDataset(str(moved)).fingerprint == before
    path = moved / "1.tar"
    data = bytearray(path.read_bytes())
    data[600] ^= 1  # within a picture
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    found = WebDataset(str(moved)).fingerprint
    assert difference(before, found) == "1 changed: 1.tar"
    (moved / "2.tar").unlink()
    found = WebDataset(str(moved)).fingerprint
    assert difference(before, found) == "1 missing: 2.tar; 1 changed: 1.tar"
    with pytest.raises(ConfigError, match=r"shard .*2\.tar: No such file"):
        WebDataset(str(moved / "{0..2}.tar"))
    chosen = WebDataset(str(moved), captions="txt").fingerprint
    assert difference(found, chosen) == "1 changed: fields"


@pytest.mark.fault("F13")
def test_a_shard_that_is_cut_off(tmp_path):
    path = tmp_path / "set" / "00.tar"
    write_tar(path, pairs(4))
    data = path.read_bytes()
    os.truncate(path, data.index(b"0003.txt"))
    source = WebDataset(str(path))
    assert len(source) == 3
    assert source.dropped == {"shard_truncated": 1, "caption_missing": 1}
    os.truncate(path, 1000)  # while it is in use
    assert cause_of(source, 2) == "image_truncated"
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"00\.tar is empty"):
        WebDataset(str(path))


@pytest.mark.fault("F13")
def test_indices_that_vanish_while_they_are_in_use(tmp_path):
    source = one(tmp_path, pairs(2))
    (tmp_path / "set" / "00.tar.index").unlink()
    assert cause_of(source, 0) == "image_unreadable"

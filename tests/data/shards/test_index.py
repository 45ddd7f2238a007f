"""Keys, fields, what is noted of texts, and what is left out."""

import io
import json
import os
import tarfile
import zlib

import numpy as np
import pytest

from tests.data.tars import BLUE, RED, entry, pairs, tar_bytes
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.files import LIMITS
from vlp_jax.data.shards import index as tar_index
from vlp_jax.data.shards.index import UNKNOWN, index_tar, is_safe, key_and_field


def index(members, form=tarfile.GNU_FORMAT):
    data = members if isinstance(members, bytes) else tar_bytes(members, form)
    return index_tar("x.tar", io.BytesIO(data), len(data))


def keys(arrays) -> list[str]:
    ends = arrays["key_end"].tolist()
    text = arrays["keys"].tobytes()
    starts = [0, *ends[:-1]]
    return [text[a:b].decode() for a, b in zip(starts, ends, strict=True)]


def has(about, arrays) -> list[set[str]]:
    """The names of the bits of every sample."""
    bits = about["bits"] | {"?": UNKNOWN}
    return [{n for n, b in bits.items() if int(h) & b} for h in arrays["has"]]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a/0001.left.JPG", ("a/0001", "left.jpg")),
        ("./0001.txt", ("0001", "txt")),
        ("././b/0001.txt", ("b/0001", "txt")),
        ("v1.2/0001.txt", ("v1.2/0001", "txt")),
        ("._0001.jpg", None),
        (".hidden", None),
        ("README", None),
        ("__MACOSX/a.jpg", None),
        ("名.txt", ("名", "txt")),
    ],
)
def test_webdatasets_rule(name, found):
    expected = found and (found[0].encode(), found[1])
    assert key_and_field(name.encode()) == expected


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    "name",
    [
        "/etc/x.txt",
        "../x.txt",
        "a/../../x.txt",
        "..\\x.txt",
        "C:\\x.txt",
        "a\nb.txt",
        "\x1b[2Ja.txt",
    ],
)
def test_names_that_are_not_safe(name):
    assert not is_safe(name.encode())
    about, arrays = index({name: "text", "ok.txt": "text"})
    assert keys(arrays) == ["ok"] and about["dropped"] == {"member_refused": 1}


def test_arrays_lead_to_the_bytes():
    data = tar_bytes(pairs(3))
    about, arrays = index(data)
    assert keys(arrays) == ["0000", "0001", "0002"]
    assert arrays["first"].tolist() == [0, 2, 4, 6]
    assert [about["fields"][f] for f in arrays["field"]] == ["jpg", "txt"] * 3
    pieces = [
        data[o : o + n] for o, n in zip(arrays["offset"], arrays["size"], strict=True)
    ]
    assert pieces[2:4] == [BLUE, b"blue number 1"]
    assert about["crc"] == zlib.crc32(data)
    assert about["masks"] == {"3": 3} and about["dropped"] == {}


def test_members_of_a_sample_may_lie_apart_and_only_the_first_counts():
    members = [("a.txt", "one"), ("b.txt", "two"), ("b.jpg", BLUE), ("a.jpg", RED)]
    members += [("a.jpg", BLUE), ("a.txt", ""), ("b.txt", "three")]
    data = tar_bytes(members)
    about, arrays = index(data)
    assert keys(arrays) == ["a", "b"]
    assert about["dropped"] == {"duplicate_key": 3}
    assert has(about, arrays) == [{"txt", "jpg"}] * 2
    at, size = int(arrays["offset"][1]), int(arrays["size"][1])
    assert data[at : at + size] == RED


@pytest.mark.fault("F20")
def test_only_plain_files_with_known_endings_count():
    members = [
        ("a.jpg", RED),
        ("a.pkl", b"cos\nsystem\n(S'touch pwned'\ntR."),
        ("a.pyd", b""),
        ("a.npz", b""),
        ("a.jpg.pickle", b""),
        (entry("b.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b""),
        (entry("c.jpg", type=tarfile.LNKTYPE, linkname="a.jpg"), b""),
        (entry("d.jpg", type=tarfile.CHRTYPE), b""),
        (entry("e.jpg", type=tarfile.FIFOTYPE), b""),
        (entry("folder.jpg", type=tarfile.DIRTYPE), b""),
    ]
    about, arrays = index(members)
    assert keys(arrays) == ["a"]
    assert about["dropped"] == {"member_ignored": 4, "member_refused": 4}


@pytest.mark.parametrize(
    ("field", "content", "noted"),
    [
        ("txt", "a dog", {"txt"}),
        ("txt", "", set()),
        ("txt", " \n\ufeff", set()),
        ("caption.txt", b"\xff\xfe bad", {"caption.txt"}),
        ("cls", "3", {"cls"}),
        ("png", b"", {"png"}),
        (
            "json",
            '{"caption": "a", "n": 3, "e": "", "b": " "}',
            {"json", "json.caption"},
        ),
        (
            "json",
            '{"captions": ["", "a"], "x": [], "y": [1]}',
            {"json", "json.captions"},
        ),
        ("json", "[1, 2]", {"json", "?"}),
        ("json", "{", {"json", "?"}),
        ("json", "[" * 100_000, {"json", "?"}),
        ("json", b'"\xff"', {"json", "?"}),
        ("meta.json", '{"text": "a"}', {"meta.json", "meta.json.text"}),
    ],
)
def test_what_is_noted_of_a_member(field, content, noted):
    assert has(*index({f"a.{field}": content})) == [noted]


@pytest.mark.fault("F20")
def test_texts_of_hundred_megabytes_are_not_read(tmp_path):
    """A read of such a size would show; skipping goes in pieces of a megabyte."""
    size = 100 * 2**20
    with open(tmp_path / "x.tar", "wb") as file:
        for name in ("a.txt", "a.json"):
            file.write(entry(name, size=size).tobuf())
            file.seek(size, os.SEEK_CUR)  # a hole: the disk has nothing to store
        file.write(bytes(1024))
    largest = 0

    class Watched(io.FileIO):
        def read(self, count=-1):
            nonlocal largest
            largest = max(largest, count)
            return super().read(count)

    path = tmp_path / "x.tar"
    with Watched(path) as file:
        about, arrays = index_tar("x.tar", file, path.stat().st_size)
    assert largest == 2**20 and LIMITS["caption"] == 2**20
    assert has(about, arrays) == [{"txt", "json", "?"}]
    assert arrays["size"].tolist() == [size, size]


def test_more_names_than_there_are_bits():
    content = {f"key{n}": "text" for n in range(100)}
    about, arrays = index({"a.json": json.dumps(content), "a.jpg": RED})
    assert len(about["bits"]) == 2 + tar_index.MAX_JSON_TEXTS
    assert int(arrays["has"][0]) & UNKNOWN
    about, arrays = index({f"a.{n}.jpg": RED for n in range(20)})
    assert len(about["fields"]) == tar_index.MAX_FIELDS
    assert about["dropped"] == {"member_ignored": 4}


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "x.tar is empty"),
        (b"<!DOCTYPE html>" * 100, "no tar archive: it starts with b'<!DOCTYPE html>"),
        (b"\x1f\x8b\x08" * 300, "packed with gzip"),
        (b"\x28\xb5\x2f\xfd" * 300, "packed with zstd"),
        (b"short", "no tar archive"),
    ],
)
def test_what_is_no_shard(data, said):
    with pytest.raises(ConfigError, match=said):
        index(data)


def test_a_shard_that_grows_meanwhile():
    data = tar_bytes(pairs(2))
    with pytest.raises(ConfigError, match="something writes to it"):
        index_tar("x.tar", io.BytesIO(data + bytes(512)), len(data))


def test_an_archive_without_members():
    about, arrays = index(tar_bytes({}))
    assert about["masks"] == {} and arrays["first"].tolist() == [0]
    assert all(isinstance(a, np.ndarray) for a in arrays.values())


def test_damage_in_the_middle_keeps_what_was_before():
    data = bytearray(tar_bytes(pairs(3)))
    third = data.index(b"0002.jpg")
    data[third + 150] ^= 1  # its checksum
    about, arrays = index(bytes(data))
    assert keys(arrays) == ["0000", "0001"]
    assert about["dropped"] == {"shard_damaged": 1}
    about, arrays = index(tar_bytes(pairs(3))[: third + 600])
    assert about["dropped"] == {"shard_truncated": 1} and len(keys(arrays)) == 2

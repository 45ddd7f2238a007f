"""Headers of every form, against Python's tarfile; and archives that lie."""

import io
import random
import tarfile
import zlib

import pytest

from tests.data.tars import entry, pairs, tar_bytes
from vlp_jax.data.shards import headers as tar_headers
from vlp_jax.data.shards.headers import NotTar, Stream, TarReader

FORMATS = {
    "ustar": tarfile.USTAR_FORMAT,
    "gnu": tarfile.GNU_FORMAT,
    "pax": tarfile.PAX_FORMAT,
}


def read(data: bytes) -> tuple[list, TarReader, Stream]:
    stream = Stream(io.BytesIO(data))
    reader = TarReader(stream, len(data))
    members = [(m.name, m.kind, m.offset, m.size) for m in reader]
    stream.finish()
    return members, reader, stream


def by_tarfile(data: bytes) -> list:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [
            (
                m.name.encode("utf-8", "surrogateescape"),
                "file" if m.isreg() else "folder" if m.isdir() else "other",
                m.offset_data,
                m.size if m.isreg() else 0,
            )
            for m in tar
        ]


@pytest.mark.parametrize("form", FORMATS)
def test_it_reads_what_tarfile_reads(form):
    long = "a/" * 40 + "x" * 60 + ".jpg"  # ustar splits it into prefix and name
    members = [
        ("plain.jpg", b"1" * 700),
        (entry("folder", type=tarfile.DIRTYPE), b""),
        (long, b"2"),
        ("empty.txt", b""),
        (entry("link.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b""),
        (entry("hard.jpg", type=tarfile.LNKTYPE, linkname="plain.jpg"), b""),
        (entry("device", type=tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
        (entry("pipe", type=tarfile.FIFOTYPE), b""),
        ("last.txt", b"3" * 512),
    ]
    if form != "ustar":
        members.insert(3, ("名前" + "n" * 300 + ".txt", b"4" * 513))
        target = entry("far.jpg", type=tarfile.SYMTYPE, linkname="t" * 200)
        members.append((target, b""))
    data = tar_bytes(members, FORMATS[form])
    found, reader, stream = read(data)
    plain = [(m[0].rstrip(b"/"), *m[1:]) for m in found]  # "folder/"
    assert plain == by_tarfile(data) and len(found) == len(members)
    assert reader.damage == ""
    assert stream.crc == zlib.crc32(data) and stream.at == len(data)


def test_sparse_files_hold_no_plain_data():
    """Old GNU form, with one more block of its map, then an ordinary member."""
    data = bytearray(tar_bytes({"hole.jpg": b"x" * 512, "next.txt": b"y"}))
    data[156:157] = b"S"
    data[482] = 1
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    data[512:512] = bytes(512)
    found, reader, _ = read(bytes(data))
    assert [(m[0], m[1], m[2]) for m in found] == [
        (b"hole.jpg", "other", 1024),
        (b"next.txt", "file", 2048),
    ]
    pax = entry("hole.jpg", pax_headers={"GNU.sparse.major": "1"})
    found, _, _ = read(tar_bytes([(pax, b"zz")], tarfile.PAX_FORMAT))
    assert [m[1] for m in found] == ["other"]


def test_a_size_in_a_pax_header_counts():
    data = tar_bytes([(entry("a.jpg", pax_headers={"size": "5"}), b"12345")], 2)
    assert read(data)[0][0][3] == 5


def with_size(field: bytes) -> bytes:
    """Two members, the second with this size in its header."""
    data = bytearray(tar_bytes({"a.txt": b"1", "b.txt": b"2"}))
    header = data[1024:1536]
    header[124:136] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[1024:1536] = header
    return bytes(data)


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    ("field", "damage"),
    [
        (b"\xff" * 12, "shard_damaged"),  # -1 in GNU's binary form
        (b"-0000000001\0", "shard_damaged"),
        (b"0000000009 \0", "shard_damaged"),
        (b"\x80" + b"\xff" * 11, "shard_truncated"),  # 2**88 - 1
        (b"77777777777\0", "shard_truncated"),  # 8 GiB
    ],
)
def test_sizes_that_lie_end_the_archive(field, damage):
    found, reader, stream = read(with_size(field))
    assert [m[0] for m in found] == [b"a.txt"]
    assert reader.damage == damage
    assert stream.at == len(with_size(field))


@pytest.mark.fault("F20")
def test_extended_headers_that_lie(monkeypatch):
    records = {
        "no length": b"path=a.jpg\n",
        "negative": b"-5 path=a\n",
        "zero": b"0 path=a\n",
        "too long": b"99 path=a.jpg\n",
        "no end": b"12 path=a.jpg",
        "size": b"12 size=-10\n",
    }
    for name, record in records.items():
        header = entry("h", type=tarfile.XHDTYPE)
        data = tar_bytes([("ok.txt", b"1"), (header, record), ("a.txt", b"2")])
        found, reader, _ = read(data)
        assert [m[0] for m in found] == [b"ok.txt"], name
        assert reader.damage == "shard_damaged", name
    # A pax header of gigabytes is not read, even where the file is that large.
    monkeypatch.setattr(tar_headers, "MAX_EXTENSION", 1000)
    header = entry("h", type=tarfile.XHDTYPE)
    data = tar_bytes([("ok.txt", b"1"), (header, bytes(1001)), ("a.txt", b"2")])
    found, reader, _ = read(data)
    assert len(found) == 1 and reader.damage == "shard_damaged"


@pytest.mark.parametrize(
    "data", [b"<!DOCTYPE html><html>404</html>", b"<html>" * 500, b"\x1f\x8b" * 600]
)
def test_what_is_no_archive(data):
    with pytest.raises(NotTar) as caught:
        read(data)
    assert data.startswith(caught.value.start[:16])


@pytest.mark.fault("F13")
@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_every_truncation_keeps_the_complete_members(form):
    members = pairs(3) | {"n" * 150 + ".txt": "long"}
    data = tar_bytes(members, FORMATS[form])
    whole = read(data)[0]
    assert len(whole) == 7
    end = whole[-1][2] + 512 + 512  # its data, padded, and one block of zeros
    for size in range(512, len(data), 64):
        found, reader, _ = read(data[:size])
        complete = [m for m in whole if m[2] + m[3] <= size]
        assert found == complete, size
        assert reader.damage == ("" if size >= end else "shard_truncated"), size


@pytest.mark.fault("F20")
def test_random_damage_never_does_more_than_end_the_archive():
    data = tar_bytes(pairs(4) | {"m" * 200 + ".txt": "x"}, tarfile.PAX_FORMAT)
    whole = read(data)[0]
    rng = random.Random(0)
    damaged = 0
    for _ in range(2000):
        broken = bytearray(data)
        for _ in range(rng.choice((1, 3, 30))):
            broken[rng.randrange(len(data))] = rng.randrange(256)
        try:
            found, reader, stream = read(bytes(broken))
        except NotTar:
            continue
        assert all(offset + size <= len(data) for _, _, offset, size in found)
        assert stream.at == len(data)
        damaged += bool(reader.damage)
        assert reader.damage or len(found) == len(whole)
    assert damaged > 100

"""Pictures and tar shards to test with."""

import io
import struct
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image


def picture(colour: str, form: str = "JPEG", size: tuple[int, int] = (8, 8)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, form)
    return file.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises width x height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


RED, BLUE, GREEN = picture("red"), picture("blue"), picture("green")


def entry(name: str, **fields) -> tarfile.TarInfo:
    """A tar header with some of its fields set (type, linkname, pax_headers, ...)."""
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def tar_bytes(
    members: Mapping[str, bytes | str] | Iterable, form: int = tarfile.GNU_FORMAT
) -> bytes:
    """A tar archive; members are {name: content} or (TarInfo or name, content)s."""
    file = io.BytesIO()
    pairs = members.items() if isinstance(members, Mapping) else members
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for name, content in pairs:
            data = content.encode() if isinstance(content, str) else content
            header = name if isinstance(name, tarfile.TarInfo) else entry(name)
            header.size = header.size or len(data)
            tar.addfile(header, io.BytesIO(data))
    return file.getvalue()


def write_tar(path: Path, members, form: int = tarfile.GNU_FORMAT) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar_bytes(members, form))
    return str(path)


def pairs(count: int, start: int = 0) -> dict[str, bytes | str]:
    """`count` samples of a red, blue or green picture and its caption."""
    members: dict[str, bytes | str] = {}
    for number in range(start, start + count):
        colour = ("red", "blue", "green")[number % 3]
        members[f"{number:04d}.jpg"] = (RED, BLUE, GREEN)[number % 3]
        members[f"{number:04d}.txt"] = f"{colour} number {number}"
    return members

"""The members of a tar archive, read once from its start to its end.

Knows ustar, GNU long names and pax headers (POSIX.1-2001, "pax Interchange Format").
Written for archives that nobody vouches for: no length that a header claims is
believed beyond the end of the file, nothing is unpacked, and what holds no plain data
(links, devices, sparse files) is told apart.
"""

import dataclasses
import zlib
from collections.abc import Iterator
from typing import BinaryIO

BLOCK = 512
CHUNK = 2**20  # bytes that are skipped at a time
MAX_EXTENSION = 2**20  # bytes of a long name or a pax header
REGULAR = (b"0", b"\0", b"7")
WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")  # links, devices, folders, pipes
FOLDER, LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL = b"5", b"L", b"K", b"x", b"g"
SPARSE = b"S"


class NotTar(Exception):
    """The file does not begin as a tar archive does, but with `start`."""

    def __init__(self, start: bytes):
        super().__init__(start)
        self.start = start


class _Damaged(Exception):
    """A header that makes no sense."""


@dataclasses.dataclass(frozen=True)
class Member:
    """One entry; `kind` is 'file', 'folder' or 'other'."""

    name: bytes
    kind: str
    offset: int
    size: int


class Stream:
    """A file read forwards; `crc` is the CRC-32 of all bytes that went by."""

    def __init__(self, file: BinaryIO):
        self.file, self.at, self.crc = file, 0, 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes; fewer only at the end of the file."""
        data = self.file.read(size)
        self.at += len(data)
        self.crc = zlib.crc32(data, self.crc)
        return data

    def skip_to(self, place: int) -> None:
        while self.at < place and self.read(min(CHUNK, place - self.at)):
            pass

    def finish(self) -> None:
        while self.read(CHUNK):
            pass


class TarReader:
    """Iterates over the complete members of an archive of `size` bytes.

    The data of the member last yielded may be read from the stream. Afterwards
    `damage` says what ended the archive early: 'shard_truncated' (a member is cut off
    or the end marker is missing), 'shard_damaged' (a header makes no sense), or ''.

    Raises NotTar when the file does not begin with a member or an end marker.
    """

    def __init__(self, stream: Stream, size: int):
        self.stream, self.size, self.damage = stream, size, ""
        self.header = b""

    def __iter__(self) -> Iterator[Member]:
        try:
            while True:
                member = self._next()
                if member is None:
                    break
                yield member
                padding = -member.size % BLOCK
                self.stream.skip_to(member.offset + member.size + padding)
        except _Damaged:
            if self.stream.at <= BLOCK:
                raise NotTar(self.header) from None
            self.damage = "shard_damaged"
        except EOFError:
            if self.stream.at < BLOCK:
                raise NotTar(self.header) from None
            self.damage = "shard_truncated"

    def _next(self) -> Member | None:
        """The next member that is none of the headers about others; None at the end."""
        long_name, pax = None, {}
        while True:
            header = self.header = self.stream.read(BLOCK)
            if len(header) < BLOCK:
                raise EOFError
            if not any(header):
                return None
            kind = _checked(header)
            size = 0 if kind in WITHOUT_DATA else _number(header[124:136])
            if kind == LONG_NAME:
                long_name = self._extension(size).rstrip(b"\0")
            elif kind == PAX:
                pax = _records(self._extension(size))
            elif kind in (LONG_LINK, PAX_GLOBAL):
                self._extension(size)
            else:
                return self._member(header, kind, long_name, pax)

    def _member(
        self, header: bytes, kind: bytes, long_name: bytes | None, pax: dict
    ) -> Member:
        size = 0 if kind in WITHOUT_DATA else _number(header[124:136])
        if b"size" in pax and kind not in WITHOUT_DATA:
            size = _decimal(pax[b"size"])
        name = pax.get(b"path", long_name or _plain_name(header))
        sparse = kind == SPARSE or any(key.startswith(b"GNU.sparse.") for key in pax)
        more = kind == SPARSE and header[482]
        while more:  # further blocks of the map of an old GNU sparse file
            block = self.stream.read(BLOCK)
            if len(block) < BLOCK:
                raise EOFError
            more = block[504]
        offset = self.stream.at
        if offset + size > self.size:
            raise EOFError
        if kind == FOLDER or (kind == b"\0" and name.endswith(b"/")):
            return Member(name, "folder", offset, size)
        regular = kind in REGULAR and not sparse
        return Member(name, "file" if regular else "other", offset, size)

    def _extension(self, size: int) -> bytes:
        if size > MAX_EXTENSION:
            raise _Damaged(f"a name of {size:,} bytes")
        data = self.stream.read(size)
        self.stream.skip_to(self.stream.at + -size % BLOCK)
        if len(data) < size:
            raise EOFError
        return data


def _checked(header: bytes) -> bytes:
    """The kind of a header whose checksum is right."""
    found = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
    if _number(header[148:156]) != found:
        raise _Damaged(f"starts with {header[:16]!r}")
    return header[156:157]


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary form for what these cannot hold."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if not digits:
        return 0
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise _Damaged(f"{field!r} is not a number")  # a negative one neither
    return int(digits, 8)


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 20:
        raise _Damaged(f"{digits[:20]!r} is not a size")
    return int(digits)


def _plain_name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0":  # GNU's own form keeps times in the prefix
        prefix = header[345:500].split(b"\0", 1)[0]
        return prefix + b"/" + name if prefix else name
    return name


def _records(data: bytes) -> dict[bytes, bytes]:
    """The records 'LENGTH KEY=VALUE\\n' of a pax header."""
    records, at = {}, 0
    while at < len(data) and data[at : at + 1] != b"\0":
        digits, space, _ = data[at : at + 21].partition(b" ")
        length = _decimal(digits) if space else 0
        record = data[at + len(digits) + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or at + length > len(data):
            raise _Damaged("a pax header that cannot be read")
        records[key] = value[:-1]
        at += length
    return records

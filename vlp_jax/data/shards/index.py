"""Where the samples of a tar shard lie: webdataset's layout.

A member 'a/0001.left.jpg' has the key 'a/0001' (up to the first dot of the file's
name) and the field 'left.jpg'; members with one key are one sample, wherever in the
shard they stand. Of a JSON member the keys whose value is text count as fields too:
'json.caption'. A second member with the same key and field is left out and counted.
"""

import json
from array import array
from collections import Counter

import numpy as np

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.files import LIMITS
from vlp_jax.data.shards.headers import Member, NotTar, Stream, TarReader

PICTURES = frozenset(("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"))
TEXTS = frozenset(("txt", "text", "caption"))
JSON, LABEL, LABELS = "json", "cls", "npy"
ENDINGS = PICTURES | TEXTS | {JSON, LABEL, LABELS}
# What a sample has is a set of 64 bits: fields, then texts in JSON, then UNKNOWN.
MAX_FIELDS, MAX_JSON_TEXTS = 16, 47
UNKNOWN = 1 << 63  # its JSON may hold texts that were not noted
PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def ending_of(field: str) -> str:
    """'jpg' of 'left.jpg'."""
    return field.rpartition(".")[2]


def key_and_field(name: bytes) -> tuple[bytes, str] | None:
    """webdataset's rule; None for what is no member of a sample."""
    folder, slash, file = name.rpartition(b"/")
    key, dot, field = file.partition(b".")
    if not key or not dot or b"__MACOSX" in folder:
        return None
    while folder.startswith(b"./"):
        folder = folder[2:]
    folder = b"" if folder == b"." else folder
    try:
        found = field.decode("ascii").lower()
    except UnicodeDecodeError:
        return None
    return (folder + slash + key if folder else key), found


def is_safe(name: bytes) -> bool:
    """No absolute path, no '..', no control characters (names are shown to people)."""
    plain = name.replace(b"\\", b"/")
    drive = plain[1:2] == b":"
    outside = plain.startswith(b"/") or drive or b".." in plain.split(b"/")
    return not outside and name.decode("utf-8", "replace").isprintable()


class _Builder:
    """Collects the members of one shard, without a Python object for each."""

    def __init__(self):
        self.rows: dict[bytes, int] = {}
        self.fields: dict[str, int] = {}
        self.json_texts: dict[str, int] = {}
        self.dropped = Counter()
        self.row, self.field = array("q"), array("B")
        self.offset, self.size = array("q"), array("q")
        self.has, self.present = array("Q"), array("H")

    def add(self, member: Member, stream: Stream) -> None:
        """Notes a member, and reads it where it is text."""
        if member.kind == "folder":
            return
        if member.kind != "file" or not is_safe(member.name):
            self.dropped["member_refused"] += 1
            return
        key, field = key_and_field(member.name) or (b"", "")
        known = ending_of(field) in ENDINGS
        if known and field not in self.fields and len(self.fields) < MAX_FIELDS:
            self.fields[field] = len(self.fields)
        number = self.fields.get(field)
        if number is None:
            self.dropped["member_ignored"] += 1
            return
        row = self.rows.setdefault(key, len(self.rows))
        if row == len(self.has):
            self.has.append(0)
            self.present.append(0)
        if self.present[row] & 1 << number:
            self.dropped["duplicate_key"] += 1
            return
        self.present[row] |= 1 << number
        self.has[row] |= self._noted(field, 1 << number, member.size, stream)
        self.row.append(row)
        self.field.append(number)
        self.offset.append(member.offset)
        self.size.append(member.size)

    def _noted(self, field: str, bit: int, size: int, stream: Stream) -> int:
        """The bits of a member: none for a text without a visible character."""
        ending = ending_of(field)
        if ending not in TEXTS and ending != JSON:
            return bit
        if size > LIMITS["caption"]:  # found too long when it is read
            return bit | (UNKNOWN if ending == JSON else 0)
        data = stream.read(size)
        if ending == JSON:
            return bit | self._json_bits(field, data)
        return bit if data.decode("utf-8", "replace").strip("\ufeff \t\r\n") else 0

    def _json_bits(self, field: str, data: bytes) -> int:
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            return UNKNOWN
        if not isinstance(content, dict):
            return UNKNOWN
        bits = 0
        for key, value in content.items():
            texts = value if isinstance(value, list) else (value,)
            if any(isinstance(text, str) and text.strip() for text in texts):
                bits |= self._json_bit(f"{field}.{key}")
        return bits

    def _json_bit(self, name: str) -> int:
        known = self.json_texts
        if name not in known:
            if len(known) == MAX_JSON_TEXTS:
                return UNKNOWN
            known[name] = len(known)
        return 1 << (MAX_FIELDS + known[name])

    def arrays(self) -> dict[str, np.ndarray]:
        """field, offset, size [M] by sample; first [N + 1]; has, key_end [N]; keys."""
        row = np.frombuffer(self.row, np.int64)
        order = np.argsort(row, kind="stable")
        counts = np.bincount(row, minlength=len(self.rows))
        ends = np.cumsum([len(key) for key in self.rows], dtype=np.int64)
        return {
            "field": np.frombuffer(self.field, np.uint8)[order],
            "offset": np.frombuffer(self.offset, np.int64)[order],
            "size": np.frombuffer(self.size, np.int64)[order],
            "first": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            "has": np.frombuffer(self.has, np.uint64),
            "keys": np.frombuffer(b"".join(self.rows), np.uint8),
            "key_end": ends,
        }


def index_tar(url: str, file, size: int) -> tuple[dict, dict[str, np.ndarray]]:
    """Reads a shard of `size` bytes once: (what it is as JSON values, arrays).

    The first part holds `crc` of all bytes; `bits`: {field or JSON text: bit of
    `has`}; `fields`: names in the order of `field`; `masks`: {value of `has`: number
    of samples}; `dropped`. Raises ConfigError when the file is not a tar archive or
    changes meanwhile.
    """
    stream, builder = Stream(file), _Builder()
    if size == 0:
        raise ConfigError(f"shard {url} is empty (0 bytes); fetch it again")
    reader = TarReader(stream, size)
    try:
        for member in reader:
            builder.add(member, stream)
    except NotTar as error:
        raise ConfigError(f"shard {url} is {_not_tar(error.start)}") from None
    stream.finish()
    if stream.at != size:
        raise ConfigError(
            f"shard {url} had {size:,} bytes and now {stream.at:,}: something writes "
            "to it; start again when it is complete"
        )
    if reader.damage:
        builder.dropped[reader.damage] += 1
    arrays = builder.arrays()
    masks, counts = np.unique(arrays["has"], return_counts=True)
    bits = {name: 1 << number for name, number in builder.fields.items()}
    for name, number in builder.json_texts.items():
        bits.setdefault(name, 1 << (MAX_FIELDS + number))
    about = {
        "crc": stream.crc,
        "bits": bits,
        "fields": list(builder.fields),
        "masks": dict(zip(map(str, masks.tolist()), counts.tolist(), strict=True)),
        "dropped": dict(builder.dropped),
    }
    return about, arrays


def _not_tar(start: bytes) -> str:
    for magic, name in PACKED.items():
        if start.startswith(magic):
            return f"packed with {name}, so that samples cannot be found; unpack it"
    return f"no tar archive: it starts with {start[:16]!r}; fetch it again"

"""Reads and writes tf.train.Example, the form of most records, without TensorFlow.

  message Example     { Features features = 1; }
  message Features    { map<string, Feature> feature = 1; }
  message Feature     { BytesList 1 | FloatList 2 | Int64List 3, each `value = 1` }

(tensorflow/core/example/{example,feature}.proto; the encoding is protobuf's.)
"""

import struct
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def parse(record: bytes) -> dict[str, list]:
    """{feature: list of bytes, float or int}; ValueError where it is no Example."""
    found = {}
    for number, features in _fields(memoryview(record)):
        for inner, entry in _fields(_bytes(features)) if number == 1 else ():
            if inner == 1:
                parts = dict(_fields(_bytes(entry)))
                name = bytes(_bytes(parts.get(1, memoryview(b""))))
                found[name.decode()] = _feature(_bytes(parts.get(2, memoryview(b""))))
    if not found:
        raise ValueError("no features")
    return found


def _feature(data: memoryview) -> list:
    values = []
    for kind, content in _fields(data):
        for number, value in _fields(_bytes(content)):
            if number != 1:
                continue
            if kind == 1:
                values.append(bytes(_bytes(value)))
            elif kind == 2:
                values += _floats(value)
            elif kind == 3:
                values += _integers(value)
    return values


def _floats(value) -> list[float]:
    data = _bytes(value)  # packed, or one fixed32
    if len(data) % 4:
        raise ValueError("floats that are cut off")
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _integers(value) -> list[int]:
    if isinstance(value, int):
        return [_signed(value)]
    values, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        values.append(_signed(number))
    return values


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _bytes(value) -> memoryview:
    if not isinstance(value, memoryview):
        raise ValueError("a number where bytes are expected")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """(field number, its varint or its bytes) of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(kind)
        if kind == BYTES:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise ValueError("no protobuf message, or one that is cut off")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at == len(data) or shift > 63:
            raise ValueError("a number that does not end")
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def serialize(features: Mapping[str, Sequence[bytes] | np.ndarray]) -> bytes:
    """The record of {feature: list of bytes, or an array of float32 or integers}."""
    entries = b""
    for name, values in features.items():
        if not isinstance(values, np.ndarray):
            feature = _field(1, b"".join(_field(1, value) for value in values))
        elif values.dtype == np.float32:
            feature = _field(2, _field(1, values.astype("<f4").tobytes()))
        else:
            numbers = (_number(value % 2**64) for value in values.tolist())
            feature = _field(3, _field(1, b"".join(numbers)))
        entries += _field(1, _field(1, name.encode()) + _field(2, feature))
    return _field(1, entries)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | BYTES]) + _number(len(content)) + content


def _number(number: int) -> bytes:
    """A varint."""
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)
    return bytes(data)

"""Writes tf.train.Example by protobuf's rules."""

import struct


def varint(number: int) -> bytes:
    number %= 2**64
    data = b""
    while number > 127:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


def field(number: int, content: bytes) -> bytes:
    """A field that holds bytes or a message."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def example(features: dict[str, list]) -> bytes:
    """{name: list of bytes, int or float} as a serialized tf.train.Example."""
    entries = b""
    for name, values in features.items():
        kinds = {type(value) for value in values}
        if kinds == {int}:
            values = field(3, field(1, b"".join(map(varint, values))))
        elif kinds == {float}:
            values = field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
        else:
            values = field(1, b"".join(field(1, value) for value in values))
        entries += field(1, field(1, name.encode()) + field(2, values))
    return field(1, entries)

"""tf.train.Example, as written by protobuf's rules, and bytes that are none."""

import random
import struct

import numpy as np
import pytest

from tests.data.records import example, field, varint
from vlp_jax.data.tf_example import parse, serialize


def test_every_kind_of_list():
    record = example(
        {"image": [b"\xff\xd8"], "captions/text": [b"a", b"b", b""], "none": []}
        | {"label": [3], "big": [2**63 - 1, -1, 0], "score": [0.5, -2.0]}
    )
    assert parse(record) == {
        "image": [b"\xff\xd8"],
        "captions/text": [b"a", b"b", b""],
        "none": [],
        "label": [3],
        "big": [2**63 - 1, -1, 0],
        "score": [0.5, -2.0],
    }


def test_lists_that_are_not_packed_and_fields_that_are_not_known():
    integers = b"".join(b"\x08" + varint(n) for n in (7, 300))
    floats = b"\x0d" + struct.pack("<f", 1.5)
    entries = [
        field(1, field(1, b"n") + field(2, field(3, integers))),
        field(1, field(1, b"f") + field(2, field(2, floats))),
        field(9, b"later") + b"\x51" + bytes(8),
    ]
    assert parse(field(1, b"".join(entries))) == {"n": [7, 300], "f": [1.5]}


def test_random_bytes_raise_only_value_errors():
    rng, record = random.Random(0), example({"image": [b"x" * 50], "n": [1, 2, 3]})
    refused = 0
    for _ in range(3000):
        broken = bytearray(record[: rng.randrange(len(record) + 1)])
        for _ in range(rng.randrange(4)):
            if broken:
                broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            parse(bytes(broken))
        except ValueError:
            refused += 1
    assert refused > 1000
    for text in (b"", b'{"image": 1}', b"\x80" * 20):
        with pytest.raises(ValueError):
            parse(text)


def test_what_is_written_is_what_protobuf_writes():
    written = {
        "name": [b"a", b"", bytes(300)],
        "none": [],
        "n": [0, 127, 128, -1, 2**63 - 1],
        "x": [0.5, -2.0, 1e-30],
    }
    features = written | {
        "n": np.array(written["n"], np.int64),
        "x": np.array(written["x"], np.float32),
    }
    record = serialize(features)
    assert record == example(written)
    assert parse(record) == written | {"x": features["x"].tolist()}
    empty = serialize({"n": np.zeros(0, np.int64), "x": np.zeros(0, np.float32)})
    assert parse(empty) == {"n": [], "x": []}

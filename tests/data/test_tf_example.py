"""tf.train.Example, as written by protobuf's rules, and bytes that are none."""

import random
import struct

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

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


def test_protobuf_reads_what_is_written():
    """By the fields that example.proto and feature.proto name, but for the map."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", syntax="proto3")
    for message, fields in {
        "BytesList": [("value", 1, "BYTES", True)],
        "FloatList": [("value", 1, "FLOAT", True)],
        "Int64List": [("value", 1, "INT64", True)],
        "Feature": [
            *[("bytes_list", 1, "BytesList", False)],
            *[("float_list", 2, "FloatList", False)],
            *[("int64_list", 3, "Int64List", False)],
        ],
        "Entry": [("key", 1, "STRING", False), ("value", 2, "Feature", False)],
        "Features": [("feature", 1, "Entry", True)],
        "Example": [("features", 1, "Features", False)],
    }.items():
        made = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            field = made.field.add(name=name, number=number, label=3 if repeated else 1)
            if kind.isupper():
                field.type = getattr(field, f"TYPE_{kind}")
            else:
                field.type, field.type_name = field.TYPE_MESSAGE, f".{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("Example"))
    numbers, floats = np.array([-1, 300]), np.array([0.1, -2e30], np.float32)
    record = serialize({"name": [b"a", b""], "n": numbers, "x": floats})
    name, n, x = kind.FromString(record).features.feature
    assert (name.key, list(name.value.bytes_list.value)) == ("name", [b"a", b""])
    assert (n.key, list(n.value.int64_list.value)) == ("n", [-1, 300])
    assert (x.key, list(x.value.float_list.value)) == ("x", floats.tolist())


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

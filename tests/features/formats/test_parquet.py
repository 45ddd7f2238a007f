"""Arrow reads the files: a row a sample, lists of a fixed size, nulls."""

import builtins

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from tests.features.formats.written import columns
from vlp_jax.core.errors import ConfigError
from vlp_jax.features.formats import parquet


def test_arrow_reads_them(tmp_path):
    expected = columns()
    parquet.write(tmp_path / "x.parquet", expected)
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet")
    floats = pyarrow.list_(pyarrow.float32(), 5)
    assert table.schema.field("image_embedding").type == floats
    assert table.schema.field("text_embedding").type == pyarrow.list_(floats)
    assert table.column_names == [
        *("index", "name", "image_embedding", "label", "labels"),
        *("captions", "text_embedding"),
    ]
    rows = table.to_pylist()
    assert [row["label"] for row in rows] == [7, None, 0]
    assert [row["labels"] for row in rows] == [[7, 1], [], [2]]
    assert [len(row["captions"]) for row in rows] == [2, 0, 1]
    assert rows[2]["captions"] == ["text 0 of 3"]
    assert [np.shape(row["text_embedding"]) for row in rows] == [(2, 5), (0,), (1, 5)]
    found = np.float32([row["image_embedding"] for row in rows])
    np.testing.assert_array_equal(found, expected["image_embedding"])
    np.testing.assert_array_equal(
        np.float32(rows[2]["text_embedding"]), expected["text_embedding"][2:]
    )


def test_without_arrow(tmp_path, monkeypatch):
    load = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match="pip install pyarrow"):
        parquet.write(tmp_path / "x.parquet", columns())

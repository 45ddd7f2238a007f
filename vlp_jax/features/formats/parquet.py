"""Parquet: a row a sample; embeddings are lists of a fixed size, captions are lists.

A sample without a label has a null there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlp_jax.core.errors import ConfigError
from vlp_jax.features.columns import COUNTED, OF_COUNT, Columns

ENDING = "parquet"


def _arrow() -> Any:
    try:
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise ConfigError("parquet files need pyarrow: pip install pyarrow") from None
    return pyarrow


def check() -> None:
    """ConfigError where files of this format cannot be written here."""
    _arrow()


def write(path: Path, columns: Columns) -> None:
    """A table with a column each, but for the counts: lists have lengths."""
    arrow, found = _arrow(), {}
    for key, values in columns.items():
        if key in OF_COUNT:
            continue
        array = _array(values)
        if key in COUNTED:
            ends = np.cumsum(columns[COUNTED[key]])
            starts = np.concatenate([[0], ends]).astype(np.int32)
            array = arrow.ListArray.from_arrays(starts, array)
        if key == "label":
            array = arrow.array(values, mask=values < 0)
        found[key] = array
    arrow.parquet.write_table(arrow.table(found), path)


def _array(values: np.ndarray) -> Any:
    arrow = _arrow()
    if values.ndim == 2:
        flat = arrow.array(values.ravel())
        return arrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
    if values.dtype.kind == "U":
        return arrow.array(values.tolist(), arrow.string())
    return arrow.array(values)


def read(path: Path, keys: Sequence[str]) -> Columns:
    names = sorted({OF_COUNT.get(key, key) for key in keys})
    table = _arrow().parquet.ParquetFile(path).read(names)
    return {key: _column(table, key, OF_COUNT.get(key, key)) for key in keys}


def _column(table: Any, key: str, name: str) -> np.ndarray:
    array = table.column(name).combine_chunks()
    if key != name:
        lengths = _arrow().compute.list_value_length(array)
        return lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    array = array.flatten() if key in COUNTED else array
    if _arrow().types.is_fixed_size_list(array.type):
        flat = array.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(-1, array.type.list_size)
    if _arrow().types.is_string(array.type):
        return np.array(array.to_pylist(), np.str_)
    return array.fill_null(-1).to_numpy(zero_copy_only=False)

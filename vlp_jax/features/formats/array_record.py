"""ArrayRecord: a record a sample, each a tf.train.Example, as TFDS writes them.

Its features are the columns: `index` one integer, `label` one or none, `labels`
integers, `name` one text (UTF-8), `captions` texts, `image_embedding` E floats, and
`text_embedding` E floats a caption, one after another.
"""

import errno
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlp_jax.data.tf_example import parse, serialize
from vlp_jax.features.columns import COUNTED, OF_COUNT, TEXTS, Columns, parts

ENDING = "array_record"
OPTIONS = "group_size:1"  # a record can be read without its neighbours


def check() -> None:
    """What it needs is always there."""


def write(path: Path, columns: Columns) -> None:
    """A record for each sample, with a feature for each column."""
    from array_record.python.array_record_module import ArrayRecordWriter

    rows = {}
    for key, values in columns.items():
        if key in COUNTED:
            rows[key] = parts(columns, key)
        elif key not in OF_COUNT:
            rows[key] = values[:, None] if values.ndim == 1 else values
    if "label" in rows:
        rows["label"] = [label[label >= 0] for label in rows["label"]]
    try:
        writer = ArrayRecordWriter(str(path), OPTIONS)
        for number in range(len(columns["index"])):
            record = {key: _feature(values[number]) for key, values in rows.items()}
            writer.write(serialize(record))
        writer.close()
    except RuntimeError as error:  # such as a full disk
        raise OSError(errno.EIO, str(error), str(path)) from None


def _feature(values: np.ndarray) -> np.ndarray | list[bytes]:
    if values.dtype.kind == "U":
        return [text.encode() for text in values.tolist()]
    return values.ravel()


def read(path: Path, keys: Sequence[str]) -> Columns:
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(str(path))
    records = [parse(record) for record in reader.read_all()]
    reader.close()
    return {key: _column(records, key) for key in keys}


def _column(records: list[dict[str, list]], key: str) -> np.ndarray:
    if key in OF_COUNT:
        return np.array([len(record[OF_COUNT[key]]) for record in records], np.int64)
    if key == "label":
        found = [(record[key] or [-1])[0] for record in records]
        return np.array(found, np.int64)
    values = [value for record in records for value in record[key]]
    if key.endswith("_embedding"):
        width = len(records[0]["image_embedding"])
        return np.array(values, np.float32).reshape(-1, width)
    if key in TEXTS:
        return np.array([text.decode() for text in values], np.str_)
    return np.array(values, np.int64)

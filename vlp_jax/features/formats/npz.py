"""NumPy's .npz: an array a column, without pickles; equal features are equal bytes."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlp_jax.features.columns import Columns

ENDING = "npz"


def check() -> None:
    """What it needs is always there."""


def write(path: Path, columns: Columns) -> None:
    """As np.savez, but texts are packed: each is as long as the longest."""
    with zipfile.ZipFile(path, "w") as archive:
        for key, values in columns.items():
            entry = zipfile.ZipInfo(f"{key}.npy")  # no time
            if values.dtype.kind == "U":
                entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)


def read(path: Path, keys: Sequence[str]) -> Columns:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in keys}

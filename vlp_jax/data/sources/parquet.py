"""Parquet files with encoded pictures, as Hugging Face datasets keep them.

A file is a list of row groups, each read and unpacked as a whole; some stay in memory.
They are therefore read in sequence, as remote shards are, and not at random; `prepare`
turns them into shards, which can be.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.types import Example
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.parts import locate
from vlp_jax.data.recent import Recent
from vlp_jax.data.shards.files import ShardFiles, open_stream, stamp
from vlp_jax.data.sources.records import RecordFiles

OPEN_FILES = 32
MAX_GROUP = 2**31  # bytes of a row group, unpacked
KEPT, KEPT_GROUPS = 2**32, 32  # bytes and row groups that stay in memory
THREADS = 16


def _arrow():
    try:
        import pyarrow.parquet
    except ImportError:
        raise ConfigError("parquet files need pyarrow: pip install pyarrow") from None
    return pyarrow.parquet


class _File:
    """An open file; it serves one thread at a time."""

    def __init__(self, url: str):
        self.file, self.lock = _arrow().ParquetFile(open_stream(url)), threading.Lock()

    def group(self, number: int, columns: list[str]) -> Any:
        with self.lock:
            return self.file.read_row_group(number, columns, use_threads=False)


class Parquet(RecordFiles):
    """A random-access source over Parquet files, local or remote (fsspec).

    The picture is bytes, or {'bytes': ..., 'path': ...}; captions are texts or lists
    of texts (see RecordFiles for the settings).

    `blocks`: how many samples there are up to the end of each row group; `remote`, as
    one of them costs as much as a request. Up to 32 stay in memory, of 4 GiB together:
    with fewer than `data.interleave`, reading is slow. The fingerprint rests on the
    sizes and footers of the files, not on all their bytes.
    """

    kind, ending = "parquet", ".parquet"
    remote = True

    def _open_files(self) -> None:
        _arrow()
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(self._look_at, self._urls))
        crcs, groups, used, sizes = zip(*found, strict=True)
        self.fingerprint = dict(zip(self._names, crcs, strict=True))
        # Of every row group: its file, and its number there.
        self._groups = [
            (f, g) for f, sizes in enumerate(groups) for g in range(len(sizes))
        ]
        self._used = used
        self.blocks = np.cumsum([n for sizes in groups for n in sizes], dtype=np.int64)
        if not len(self.blocks) or not self.blocks[-1]:
            raise ConfigError(f"{self.name}: its {len(self._urls)} files have no row")
        self._files = Recent(_File, OPEN_FILES)
        kept = min(KEPT_GROUPS, max(2, KEPT // max(1, *sizes)))
        self._tables = Recent(self._load, kept)

    def _look_at(self, url: str) -> tuple[str, list[int], list[str], int]:
        """(digest, rows of the row groups, columns to read, largest group's bytes)."""
        size = stamp(url)["size"]
        files = ShardFiles()
        try:
            end = files.read(url, max(0, size - 8), min(size, 8))
            length = min(size, int.from_bytes(end[:4], "little") + 8)
            footer = files.read(url, size - length, length)
            with open_stream(url) as stream:
                about = _arrow().ParquetFile(stream)
                metadata, schema = about.metadata, about.schema_arrow
        except (OSError, ValueError, BadSample) as error:  # pyarrow's are ValueErrors
            said = " ".join(str(error).split())[:120]
            raise ConfigError(f"{url} is no Parquet file: {said}") from None
        groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
        largest = max((group.total_byte_size for group in groups), default=0)
        if largest > MAX_GROUP:
            raise ConfigError(
                f"{url} has row groups of {largest / 1e9:.1f} GB, which are read as a "
                "whole; write it with smaller ones (row_group_size=1000)"
            )
        used = self.columns.used(schema.names, url)
        rows = [group.num_rows for group in groups]
        return digest(size, footer), rows, used, largest

    def _load(self, number: int) -> Any:
        file, group = self._groups[number]
        return self._files[self._urls[file]].group(group, self._used[file])

    def __len__(self) -> int:
        return int(self.blocks[-1])

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the row cannot be used."""
        number, row = locate(self.blocks, index)
        name = self._names[self._groups[number][0]]
        try:
            table = self._tables[number]
            record = {c: table.column(c)[row].as_py() for c in table.column_names}
        except MemoryError:
            raise
        except Exception as error:  # a damaged page raises what its codec raises
            said = f"{name}: {' '.join(str(error).split())[:100]}"
            raise BadSample("image_unreadable", said) from error
        return self.columns.example(record, f"{name}/{index}")

"""ArrayRecord files whose records are tf.train.Example, as TFDS writes them.

Record i of the n-th file is one sample; the picture is encoded (JPEG, PNG) in one
feature, the captions are texts in another. TensorFlow is not needed.
"""

import threading

import numpy as np

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.types import Example
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.parts import locate
from vlp_jax.data.recent import Recent
from vlp_jax.data.shards.files import ShardFiles, stamp
from vlp_jax.data.shards.names import is_remote
from vlp_jax.data.sources.records import RecordFiles
from vlp_jax.data.tf_example import parse

OPEN_FILES = 64
RANDOM_ACCESS = "readahead_buffer_size:0,max_parallelism:0"
END = 2**16  # bytes of a file's end, where its table of contents is


class _File:
    """An open file; its reader serves one thread at a time."""

    def __init__(self, path: str):
        from array_record.python.array_record_module import ArrayRecordReader

        self.reader, self.lock = (
            ArrayRecordReader(path, RANDOM_ACCESS),
            threading.Lock(),
        )

    def __len__(self) -> int:
        return self.reader.num_records()

    def __getitem__(self, index: int) -> bytes:
        with self.lock:
            return self.reader.read([index])[0]


class ArrayRecord(RecordFiles):
    """A random-access source over ArrayRecord files on this machine.

    Columns are features of the records, such as 'captions/text' (see RecordFiles). The
    fingerprint rests on the size and the end of each file, not on all its bytes.
    """

    kind, ending = "array_record", ".array_record"

    def _open_files(self) -> None:
        self._open = Recent(_File, OPEN_FILES)
        self.fingerprint, sizes = {}, []
        for name, path in zip(self._names, self._urls, strict=True):
            sizes.append(self._look_at(path))
            size = stamp(path)["size"]
            end = ShardFiles().read(path, max(0, size - END), min(size, END))
            self.fingerprint[name] = digest(size, end)
        self._ends = np.cumsum(sizes, dtype=np.int64)
        if not len(self):
            raise ConfigError(f"{self.name}: its {len(sizes)} files have no record")
        self._check_columns()

    def _look_at(self, path: str) -> int:
        """How many records a file has."""
        if is_remote(path):
            raise ConfigError(f"{path}: array_record reads local files; copy it first")
        stamp(path)
        try:
            if not self._open[path].reader.ok():
                raise ValueError("its end is missing")
            return len(self._open[path])
        except Exception as error:  # the C++ reader has no class of its own
            said = " ".join(str(error).split())[:100]
            raise ConfigError(f"{path} is no ArrayRecord file: {said}") from None

    def _check_columns(self) -> None:
        """ConfigError where the first record has not what the settings name."""
        number, _ = locate(self._ends, 0)
        try:
            known = parse(self._open[self._urls[number]][0])
        except Exception as error:
            raise ConfigError(
                f"{self._urls[number]}: its records are no tf.train.Example ({error})"
            ) from None
        self.columns.used(known, self.name)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the record cannot be used."""
        number, row = locate(self._ends, index)
        try:
            record = parse(self._open[self._urls[number]][row])
        except MemoryError:
            raise
        except Exception as error:  # from C++: RuntimeError, IndexError, ValueError
            said = f"{self._names[number]}: {' '.join(str(error).split())[:100]}"
            raise BadSample("image_unreadable", said) from error
        return self.columns.example(record, f"{self._names[number]}/{row}")

"""Batches for this process, from any step on."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import grain
import numpy as np

from vlp_jax.core.errors import BAD_SAMPLE_CAUSES
from vlp_jax.parallel.sharding import Share


@dataclasses.dataclass(frozen=True)
class HostBatch:
    """What this process contributes to one step.

    arrays: {stream: {key: array}}; bad: how many samples were replaced, by cause,
    summed over processes what one process alone would have counted.
    """

    arrays: dict[str, dict[str, np.ndarray]]
    bad: dict[str, int]


class _Rows:
    """The samples of this process: its rows of every global batch."""

    def __init__(self, samples, batch_size: int, rows: np.ndarray, first_step: int):
        self.samples, self.batch_size, self.first_step = samples, batch_size, first_step
        self.rows = rows.tolist()

    def __len__(self) -> int:
        return np.iinfo(np.int32).max * len(self.rows)  # endless

    def __getitem__(self, index: int):
        step, row = divmod(index, len(self.rows))
        position = (self.first_step + step) * self.batch_size
        return self.samples[position + self.rows[row]]


class Loader:
    """Reads samples in the background and stacks them.

    Args:
      samples: position -> {key: array} with a `bad` entry (see PairSamples).
      batch_size: global batch size B.
      threads: decoding threads (0: one, for sources that need no decoding).
      share: the rows of a batch that this process reads; None: all of them.
      stream: the name of the stream the batches are yielded under.
    """

    def __init__(
        self,
        samples: Any,
        batch_size: int,
        threads: int,
        share: Share | None = None,
        stream: str = "pairs",
    ):
        self.samples, self.batch_size = samples, batch_size
        self.threads, self.stream = threads, stream
        self.share = share or Share(np.arange(batch_size), np.ones(batch_size, bool))

    def batches(self, first_step: int) -> Iterator[HostBatch]:
        """The batches of steps first_step, first_step + 1, ..., without end."""
        share = self.share
        rows = _Rows(self.samples, self.batch_size, share.rows, first_step)
        read = grain.ReadOptions(
            num_threads=self.threads, prefetch_buffer_size=4 * self.threads
        )
        dataset = grain.MapDataset.source(rows).to_iter_dataset(read)
        dataset = dataset.batch(len(share.rows))
        dataset = grain.experimental.ThreadPrefetchIterDataset(
            dataset, prefetch_buffer_size=2
        )
        iterator = iter(dataset)
        try:
            for arrays in iterator:
                counts = arrays.pop("bad")[share.counted].sum(axis=0).tolist()
                bad = dict(zip(BAD_SAMPLE_CAUSES, counts, strict=True))
                bad = {cause: count for cause, count in bad.items() if count}
                yield HostBatch({self.stream: arrays}, bad)
        finally:
            iterator.close()  # ends its threads

"""Batches for this process, from any step on."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import grain
import jax
import numpy as np

from vlp_jax.core.errors import BAD_SAMPLE_CAUSES


@dataclasses.dataclass(frozen=True)
class HostBatch:
    """What this process contributes to one step.

    arrays: {stream: {key: array}}; bad: how many samples were replaced, by cause.
    """

    arrays: dict[str, dict[str, np.ndarray]]
    bad: dict[str, int]


class _Rows:
    """The samples of this process: its block of rows of every global batch."""

    def __init__(self, samples, batch_size: int, first_step: int):
        self.samples, self.batch_size, self.first_step = samples, batch_size, first_step
        self.rows = batch_size // jax.process_count()

    def __len__(self) -> int:
        return np.iinfo(np.int32).max * self.rows  # endless

    def __getitem__(self, index: int):
        step, row = divmod(index, self.rows)
        step += self.first_step
        first_row = jax.process_index() * self.rows
        return self.samples[step * self.batch_size + first_row + row]


class Loader:
    """Reads samples in the background and stacks them.

    Args:
      samples: position -> {key: array} with a `bad` entry (see PairSamples).
      batch_size: global batch size B; each process yields B / processes rows.
      threads: decoding threads (0: one, for sources that need no decoding).
      stream: the name of the stream the batches are yielded under.
    """

    def __init__(
        self, samples: Any, batch_size: int, threads: int, stream: str = "pairs"
    ):
        self.samples, self.batch_size = samples, batch_size
        self.threads, self.stream = threads, stream

    def batches(self, first_step: int) -> Iterator[HostBatch]:
        """The batches of steps first_step, first_step + 1, ..., without end."""
        rows = _Rows(self.samples, self.batch_size, first_step)
        read = grain.ReadOptions(
            num_threads=self.threads, prefetch_buffer_size=4 * self.threads
        )
        dataset = grain.MapDataset.source(rows).to_iter_dataset(read)
        dataset = dataset.batch(rows.rows)
        dataset = grain.experimental.ThreadPrefetchIterDataset(
            dataset, prefetch_buffer_size=2
        )
        iterator = iter(dataset)
        try:
            for arrays in iterator:
                counts = arrays.pop("bad").sum(axis=0).tolist()
                bad = dict(zip(BAD_SAMPLE_CAUSES, counts, strict=True))
                bad = {cause: count for cause, count in bad.items() if count}
                yield HostBatch({self.stream: arrays}, bad)
        finally:
            iterator.close()  # ends its threads

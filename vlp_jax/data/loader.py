"""Batches for this process, from any step on."""

import contextlib
import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grain
import numpy as np

from vlp_jax.core.errors import BAD_SAMPLE_CAUSES, RunError
from vlp_jax.data.workers import Sample, Workers, stack
from vlp_jax.parallel.sharding import Share

CHUNK = 16  # samples read in one go: what handing over costs is shared by so many


@dataclasses.dataclass(frozen=True)
class HostBatch:
    """What this process contributes to one step.

    arrays: {stream: {key: array}}; bad: how many samples were replaced, by cause,
    summed over processes what one process alone would have counted.
    """

    arrays: dict[str, dict[str, np.ndarray]]
    bad: dict[str, int]


def joined(streams: Sequence[Iterator[HostBatch]]) -> Iterator[HostBatch]:
    """Batches of several streams as one: their arrays side by side, `bad` added up."""
    with contextlib.ExitStack() as closing:
        for stream in streams:
            closing.callback(stream.close)
        for parts in zip(*streams, strict=True):
            arrays = {name: x for part in parts for name, x in part.arrays.items()}
            bad = sum((Counter(part.bad) for part in parts), Counter())
            yield HostBatch(arrays, dict(bad))


class _Chunks:
    """The samples of this process, its rows of every global batch, in pieces."""

    def __init__(self, loader: "Loader", read: Callable, first_step: int):
        rows = loader.share.rows.tolist()
        self.batch_size, self.first_step, self.read = (
            loader.batch_size,
            first_step,
            read,
        )
        self.pieces = [rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)]

    def __len__(self) -> int:
        return np.iinfo(np.int32).max * len(self.pieces)  # endless

    def __getitem__(self, index: int) -> list[Sample]:
        step, piece = divmod(index, len(self.pieces))
        first = (self.first_step + step) * self.batch_size
        try:
            return self.read([first + row for row in self.pieces[piece]])
        except Exception:
            raise
        except BaseException as error:  # it would end a thread, and nobody would know
            raise RunError(f"reading the data failed with {error!r}") from error


def _joined(pieces: Sequence[Sequence[Sample]]) -> Sample:
    """A batch; nothing is copied before, or after."""
    return stack(list(itertools.chain.from_iterable(pieces)))


class Loader:
    """Reads samples in the background and stacks them.

    Args:
      samples: position -> {key: array} with a `bad` entry (see data/samples.py).
      batch_size: global batch size B.
      threads: decoding threads (0: one, for sources that need no decoding).
      share: the rows of a batch that this process reads; None: all of them.
      stream: the name of the stream the batches are yielded under.
      workers: processes to read in, with `threads` each; 0: only threads, in this one.
    """

    def __init__(
        self,
        samples: Any,
        batch_size: int,
        threads: int,
        share: Share | None = None,
        stream: str = "pairs",
        workers: int = 0,
    ):
        self.samples, self.batch_size = samples, batch_size
        self.threads, self.stream, self.workers = threads, stream, workers
        self.share = share or Share(np.arange(batch_size), np.ones(batch_size, bool))

    def batches(self, first_step: int) -> Iterator[HostBatch]:
        """The batches of steps first_step, first_step + 1, ..., without end."""
        if not self.workers:
            yield from self._batches(first_step, self._read)
            return
        workers = Workers(self.samples, self.workers, self.threads)
        batches = self._batches(first_step, workers.read)
        try:
            for batch in batches:
                workers.check()
                yield batch
        finally:
            workers.close()  # first: threads wait for what they read
            batches.close()

    def _read(self, positions: Sequence[int]) -> list[Sample]:
        return [self.samples[position] for position in positions]

    def _batches(self, first_step: int, read: Callable) -> Iterator[HostBatch]:
        """The batches of chunks that `read` gets for their positions."""
        chunks = _Chunks(self, read, first_step)
        threads = self.workers or self.threads
        options = grain.ReadOptions(
            num_threads=threads, prefetch_buffer_size=2 * threads
        )
        dataset = grain.MapDataset.source(chunks).to_iter_dataset(options)
        dataset = dataset.batch(len(chunks.pieces), batch_fn=_joined)
        dataset = grain.experimental.ThreadPrefetchIterDataset(
            dataset, prefetch_buffer_size=2
        )
        iterator = iter(dataset)
        try:
            for arrays in iterator:
                counts = arrays.pop("bad")[self.share.counted].sum(axis=0).tolist()
                bad = dict(zip(BAD_SAMPLE_CAUSES, counts, strict=True))
                bad = {cause: count for cause, count in bad.items() if count}
                yield HostBatch({self.stream: arrays}, bad)
        finally:
            iterator.close()  # ends its threads

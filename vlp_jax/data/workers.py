"""Samples read by processes of their own: Python threads share one interpreter lock.

A worker is a fresh interpreter, `python -m vlp_jax.data.workers`, at the other end of
a socket. Nothing is forked (JAX has threads), and nothing is imported but what the
samples need. When one side is killed, the other reads the end of the socket at once:
no worker outlives its run, and no run waits for a dead worker.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from vlp_jax.core.errors import ConfigError, RunError

AGAIN = "the same command goes on from the newest checkpoint"


Sample = dict[str, np.ndarray]


def stack(samples: Sequence[Sample]) -> Sample:
    """Samples as one: arrays [n, ...]."""
    return {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}


def unstack(stacked: Sample) -> list[Sample]:
    """What `stack` was given; views."""
    rows = zip(*stacked.values(), strict=True)
    return [dict(zip(stacked, row, strict=True)) for row in rows]


class Workers:
    """`count` processes that read samples; used by as many threads.

    Args:
      samples: position -> {key: array}, with `bad_names` (see samples.py); pickled.
      count: how many processes.
      threads: how many samples each of them reads at a time (0: one).
    """

    def __init__(self, samples: Any, count: int, threads: int):
        self.samples = samples
        try:
            task = pickle.dumps((samples, threads))
        except Exception as error:  # whatever an object's own pickling raises
            raise ConfigError(
                f"data.workers={count}: {samples.source.name} cannot be sent to other "
                f"processes ({error}); set --config.data.workers=0"
            ) from error
        self._processes, self._idle = [], queue.SimpleQueue()
        ends = [self._start() for _ in range(count)]
        for process, end in zip(self._processes, ends, strict=True):
            try:
                self._ask(process, lambda end=end: end.send_bytes(task))
            except RunError:
                self.close()
                raise
            self._idle.put((process, end))

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        variables = os.environ | {
            "JAX_PLATFORMS": "cpu",  # a worker has no business on an accelerator
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            env=variables,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()  # so that the worker's death ends the socket
        self._processes.append(process)
        return ours

    def read(self, positions: Sequence[int]) -> list[Sample]:
        """The samples, from whichever worker is free; thread-safe."""
        process, end = self._idle.get()

        def exchange():
            end.send(positions)
            return _receive(end)

        try:
            found = self._ask(process, exchange)
        finally:
            # A dead one goes back, too: who gets it fails, instead of waiting.
            self._idle.put((process, end))
        if isinstance(found, Exception):
            raise found
        arrays, names = found
        for cause, some in names.items():
            for name in some:
                self.samples.remember_bad(cause, name)
        return unstack(arrays)

    def _ask(self, process: subprocess.Popen, exchange):
        try:
            return exchange()
        except (EOFError, OSError) as error:
            process.wait()
            raise RunError(_obituary(process)) from error

    def check(self) -> None:
        """Raises RunError when a worker has ended, also one that nobody waits for."""
        for process in self._processes:
            if process.poll() is not None:
                raise RunError(_obituary(process))

    def close(self) -> None:
        """Ends them in the middle of whatever they do: they hold nothing."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()


def _obituary(process: subprocess.Popen) -> str:
    code = process.returncode
    if code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            how += ", by hand or because memory ran out (fewer data.workers need less)"
    else:
        how = f"ended with exit code {code}, and its output says why"
    return f"data worker {process.pid} {how}; {AGAIN}"


def _send(end: Connection, value: Any) -> None:
    """Arrays go as they lie in memory, without a copy into the pickle."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    end.send((head, len(buffers)))
    for buffer in buffers:
        end.send_bytes(buffer.raw())


def _receive(end: Connection) -> Any:
    head, count = end.recv()
    return pickle.loads(head, buffers=[end.recv_bytes() for _ in range(count)])


def _answer(samples: Any, positions: Sequence[int], in_order) -> Any:
    """(arrays, names of bad samples), or the exception that the run should end with."""
    try:
        arrays = stack(list(in_order(samples.__getitem__, positions)))
        # Tuples first: other threads may be adding a name.
        names = {c: tuple(some) for c, some in tuple(samples.bad_names.items())}
        return arrays, names
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return RuntimeError(f"in a data worker: {error!r}")
        return error


def serve(end: Connection) -> None:
    """Answers until the other side is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they are for the run to handle
        signal.signal(number, signal.SIG_IGN)
    try:
        samples, threads = pickle.loads(end.recv_bytes())
        with ThreadPoolExecutor(max(threads, 1)) as pool:
            in_order = pool.map if threads > 1 else map
            while True:
                _send(end, _answer(samples, end.recv(), in_order))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))

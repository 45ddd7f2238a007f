"""A process that hangs says where and ends, so that it can be started again."""

import faulthandler
import os
import threading
import time
from pathlib import Path

from vlp_jax.core.errors import HUNG
from vlp_jax.parallel.hosts import label, number, together

LOOK_EVERY = 0.5  # seconds
PATIENT = 4  # times the limit: compiling, evaluating, saving
# Seconds, or a tenth of the limit, for the other processes to say where they hang: less
# than the heartbeat after which jax would abort those that are left.
LINGER = 10.0
WRITING = 10  # seconds that the report may take: the disk may be what hangs


class Watchdog:
    """Ends the process with code 76 when one thing takes too long.

    Args:
      seconds: that a step, or the wait for a batch, may take; 0: without limit.
      folder: where hang-process<i>.txt is written, with the stacks of all threads.
    """

    def __init__(self, seconds: float, folder: Path):
        self._seconds, self._folder = seconds, folder
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.at("starting", PATIENT)

    def at(self, what: str, patience: float = 1) -> None:
        """Says what begins now; it may take `patience` times the limit."""
        with self._lock:
            self._what = what
            self._limit = self._left = patience * self._seconds

    def __enter__(self) -> "Watchdog":
        if self._seconds:
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._closed.set()
        if self._seconds:
            self._thread.join()  # once it has begun to bark, it decides how this ends

    def _look(self) -> None:
        while not self._closed.wait(LOOK_EVERY):
            # Counted, not read off a clock: being stopped (Ctrl-Z) is no hang.
            with self._lock:
                self._left -= LOOK_EVERY
                expired, what, limit = self._left <= 0, self._what, self._limit
            if expired:
                self._bark(what, limit)

    def _bark(self, what: str, limit: float) -> None:
        path = self._folder / f"hang-process{number()}.txt"
        said = (
            f"{label()}error: hangs: {what} for more than {limit:g} s. The stacks of "
            f"all threads follow, and are in {path}\n"
        )
        # No print: what hangs may hold its lock.
        os.write(2, said.encode())
        faulthandler.dump_traceback(2)
        file = threading.Thread(target=_write, args=(path, said), daemon=True)
        file.start()
        file.join(WRITING)
        if together():
            # All of them wait for the one that hangs, and one that ends takes the
            # others with it. Process 0 goes last: jax ends all who lose it.
            time.sleep(min(LINGER, self._seconds / 10) * (1 if label() else 2))
        os._exit(HUNG)


def _write(path: Path, said: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.write(said)
        file.flush()
        faulthandler.dump_traceback(file)

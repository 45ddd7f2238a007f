"""Processes that read: what threads read, and nothing survives or waits for a kill."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.data.numbered import Numbers, assert_equal, prepare, samples, tokenize
from tests.processes import data_workers, is_alive, wait_until
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.data.loader import Loader
from vlp_jax.data.order import Order
from vlp_jax.data.pairs import PairSamples
from vlp_jax.data.workers import Workers
from vlp_jax.parallel.sharding import Share
from vlp_jax.training.loop import Stopwatch

BAD = {3: "image_empty", 20: "image_missing", 21: "image_missing"}
ROWS = Share(np.array([*range(3, 40), 1]), np.arange(38) % 2 == 0)


def batches(count: int, workers: int, threads: int = 2, first_step: int = 2):
    loader = Loader(samples(bad=BAD), 40, threads, ROWS, workers=workers)
    return list(itertools.islice(loader.batches(first_step), count))


def reader(source) -> PairSamples:
    return PairSamples(source, Order(len(source), 0), prepare, tokenize, 0)


@pytest.mark.parametrize("workers, threads", [(1, 0), (3, 2)])
def test_workers_change_nothing(workers, threads):
    found = batches(5, workers, threads)
    assert_equal(found, batches(5, workers=0))
    assert sum(sum(batch.bad.values()) for batch in found) > 3
    image = found[0].arrays["pairs"]["image"]
    assert image.shape == (38, 4, 4, 3) and image.flags.writeable


def test_names_of_bad_samples_come_back():
    found = samples(bad=BAD)
    loader = Loader(found, 40, 1, workers=2)
    next(loader.batches(0))
    assert (
        found.describe_bad()
        == "image_empty: sample 3; image_missing: sample 20, sample 21"
    )


class Nothing(Numbers):
    """No sample can be used."""

    def __init__(self):
        super().__init__(40, dict.fromkeys(range(40), "image_unreadable"))


class Buggy(Numbers):
    def __getitem__(self, index):
        raise ZeroDivisionError("a bug")


class Quitting(Numbers):
    """Raises what `except Exception` does not see, as Rust's panics are."""

    def __getitem__(self, index):
        raise SystemExit(3)


class Unsendable(Numbers):
    def __reduce__(self):
        raise TypeError("an open file")


class Environment(Numbers):
    """Says in its name where it is read."""

    def __getitem__(self, index):
        import jax

        started = jax._src.xla_bridge.backends_are_initialized()
        self.bad[index] = "image_missing"
        self.name = f"{os.getpid()} {os.environ['JAX_PLATFORMS']} {started}"
        raise RunError(self.name)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "source, error, said",
    [
        (Nothing(), RunError, "8 samples in a row cannot be used"),
        (Buggy(4), ZeroDivisionError, "a bug"),
        (Quitting(4), RunError, "SystemExit|exit code 3"),
    ],
)
def test_what_ends_a_reader_ends_the_run(source, error, said, workers):
    loader = Loader(reader(source), 4, threads=2, workers=workers)
    with pytest.raises(error, match=said):
        next(loader.batches(0))


def test_a_source_that_cannot_be_sent_is_explained():
    loader = Loader(reader(Unsendable(4)), 4, threads=2, workers=2)
    with pytest.raises(ConfigError, match="an open file.*data.workers=0"):
        next(loader.batches(0))


def test_workers_start_no_jax():
    workers = Workers(reader(Environment(4)), 1, 0)
    try:
        with pytest.raises(RunError) as caught:
            workers.read([0])
        assert str(caught.value) == f"{workers._processes[0].pid} cpu False"
    finally:
        workers.close()


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads /proc")
@pytest.mark.parametrize("moment", ["while it reads", "while nobody waits"])
def test_a_killed_worker_ends_the_run_and_the_others(moment):
    loader = Loader(samples(), 8, threads=1, workers=2)
    stream = loader.batches(0)
    next(stream)
    mine = data_workers(os.getpid())
    assert len(mine) == 2
    if moment == "while nobody waits":
        time.sleep(0.3)  # what is read ahead has been read
    os.kill(mine[0], signal.SIGKILL)
    wait_until(lambda: not is_alive(mine[0]))
    deadline = time.monotonic() + 30
    # Not always the very next one: its threads may still be ending.
    with pytest.raises(RunError, match=rf"data worker {mine[0]} was killed by SIGKILL"):
        while time.monotonic() < deadline:
            next(stream)
    assert not any(is_alive(pid) for pid in mine)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads /proc")
def test_a_closed_stream_leaves_no_process_and_no_thread():
    threads = threading.active_count()
    stream = Loader(samples(), 8, threads=1, workers=2).batches(0)
    next(stream)
    mine = data_workers(os.getpid())
    assert len(mine) == 2
    stream.close()
    assert not any(is_alive(pid) for pid in mine)
    wait_until(lambda: threading.active_count() <= threads)


PARENT = """
from tests.data.numbered import samples
from vlp_jax.data.loader import Loader
stream = Loader(samples(), 8, 1, workers=2).batches(0)
next(stream)
print("ready", flush=True)
while True:
    next(stream)
"""


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_the_run(number):
    run = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert run.stdout.readline() == "ready\n"
    mine = data_workers(run.pid)
    assert len(mine) == 2
    run.send_signal(number)
    run.wait(30)
    run.stdout.close()
    wait_until(lambda: not any(is_alive(pid) for pid in mine))


class Slow(Numbers):
    """A source on which the run waits."""

    def __getitem__(self, index):
        time.sleep(0.03)
        return super().__getitem__(index)


class Finished:
    """What a step computed, when it is done."""

    def is_ready(self) -> bool:
        return True


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("source, step_seconds", [(Slow(40), 0.01), (Numbers(40), 0.2)])
def test_the_wait_for_input_is_seen(source, step_seconds, workers):
    """Shares from 0.9 for the slow source, and from 0.0 for the quick one."""
    stream = Loader(reader(source), 8, 0, workers=workers).batches(0)
    watch = Stopwatch()
    for step in range(8):
        if step == 3:  # processes have started, and what was read ahead is used
            watch.restart()
        watch.fetch(stream, Finished())
        time.sleep(step_seconds)
    share = watch.read(batch_size=8)["input_wait_share"]
    stream.close()
    assert share > 0.6 if isinstance(source, Slow) else share < 0.4

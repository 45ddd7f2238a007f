"""What every side of benchmarks/input.py does: read for a while, count, look at CPU.

Needs nothing but Python: every side imports it.
"""

import os
import time
from collections.abc import Callable, Iterator


def cpu_seconds() -> float:
    """Of this process and its children, those that still run included (Linux)."""
    ticks, mine = os.sysconf("SC_CLK_TCK"), os.getpid()
    total = sum(os.times()[:4])
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:  # no process, or one that has ended
            continue
        if int(fields[1]) == mine:
            total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def watched(start: Callable[[], Iterator[int]], seconds: float) -> dict:
    """Speed of a stream that yields how many pictures each batch has.

    The first batches, in which processes start, are not counted.
    """
    stream = start()
    for _ in range(4):
        next(stream)
    begin, used, images = time.perf_counter(), cpu_seconds(), 0
    while time.perf_counter() - begin < seconds:
        images += next(stream)
    found = {
        "images": images,
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": cpu_seconds() - used,
    }
    stream.close()
    return found

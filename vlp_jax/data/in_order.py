"""Work that threads do ahead of time, and whose results come in order."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

CHUNK = 64  # things a thread does in one go
AHEAD = 4  # chunks a thread: what is done waits in memory, so not too many

Thing = TypeVar("Thing")
Found = TypeVar("Found")


def in_order(
    function: Callable[[Thing], Found], things: Iterable[Thing], threads: int
) -> Iterator[Found]:
    """What a function makes of things, in their order."""
    rest, workers = iter(things), max(threads, 1)

    def work(chunk: list[Thing]) -> list[Found]:
        return [function(thing) for thing in chunk]

    running: deque = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        while chunk := list(itertools.islice(rest, CHUNK)):
            running.append(pool.submit(work, chunk))
            if len(running) == AHEAD * workers:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()
    finally:  # also where nobody asks for the rest
        pool.shutdown(cancel_futures=True)

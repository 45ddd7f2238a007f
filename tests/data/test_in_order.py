"""Results come in order, are made ahead but not too far; errors keep their place."""

import threading
import time

import pytest

from vlp_jax.data.in_order import AHEAD, CHUNK, in_order


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("size", [0, 1, CHUNK, 5 * CHUNK + 7, 40 * CHUNK])
def test_results_in_order(threads, size):
    assert list(in_order(lambda x: 2 * x, range(size), threads)) == [
        2 * x for x in range(size)
    ]


def test_what_nobody_asks_for_is_not_made():
    made, lock = [], threading.Lock()

    def make(number):
        with lock:
            made.append(number)
        return number

    before = set(threading.enumerate())
    found = in_order(make, iter(range(10**9)), threads=2)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    time.sleep(0.05)
    found.close()
    assert len(made) <= 2 * AHEAD * CHUNK
    assert not set(threading.enumerate()) - before


def test_an_error_comes_in_its_place():
    def fail(number):
        if number == CHUNK:
            raise ValueError("here")
        return number

    found = in_order(fail, range(1000), threads=4)
    assert [next(found) for _ in range(CHUNK)] == list(range(CHUNK))
    with pytest.raises(ValueError, match="here"):
        next(found)

"""What was used last is kept; threads load a thing once; pickles carry nothing."""

import pickle
import threading

import pytest

from vlp_jax.data.recent import Recent

loaded = []


def load(key):
    loaded.append(key)
    if key == "broken":
        raise OSError("broken")
    return key.upper()


def test_the_oldest_makes_room():
    loaded.clear()
    kept = Recent(load, 2)
    assert [kept[k] for k in "abacab"] == list("ABACAB")
    assert loaded == ["a", "b", "c", "b"]


def test_a_failure_is_tried_again_and_pickles_start_empty():
    loaded.clear()
    kept = Recent(load, 2)
    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            kept["broken"]
    copy = pickle.loads(pickle.dumps(kept))
    assert (copy["a"], copy["a"], copy.size) == ("A", "A", 2)
    assert loaded == ["broken", "broken", "a"]


def test_threads_wait_for_the_same_thing_only():
    """`slow` is being loaded while another thread gets `quick`."""
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def wait(key):
        calls.append(key)
        if key == "slow":
            begun.set()
            assert go_on.wait(60)
        return key

    kept = Recent(wait, 4)
    threads = [threading.Thread(target=lambda: kept["slow"]) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    assert kept["quick"] == "quick"
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert sorted(calls) == ["quick", "slow"]

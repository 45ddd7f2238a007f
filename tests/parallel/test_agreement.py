"""Process 0 decides and the others take its word; the processes here are stand-ins.

Real ones decide in test_two_processes.py.
"""

import itertools
import json
import threading
from types import SimpleNamespace

import pytest

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.parallel import agreement
from vlp_jax.parallel.agreement import decided


class Store:
    """Short texts by key, which one process sets and others wait for."""

    def __init__(self):
        self.texts, self.changed = {}, threading.Condition()

    def key_value_set(self, key: str, text: str) -> None:
        with self.changed:
            assert key not in self.texts, f"{key} is set twice"
            self.texts[key] = text
            self.changed.notify_all()

    def blocking_key_value_get(self, key: str, milliseconds: int) -> str:
        with self.changed:
            there = self.changed.wait_for(lambda: key in self.texts, 10)
            assert there and milliseconds > 10_000
            return self.texts[key]


@pytest.fixture
def store(monkeypatch):
    """What is decided goes through it, as between several processes."""
    found = Store()
    state = SimpleNamespace(client=found)
    monkeypatch.setattr(agreement.distributed, "global_state", state)
    monkeypatch.setattr(agreement, "together", lambda: True)
    return found


def as_process(monkeypatch, index: int) -> None:
    """From here on this is process `index`, which has asked nothing yet."""
    monkeypatch.setattr(agreement, "number", lambda: index)
    monkeypatch.setattr(agreement, "_asked", itertools.count())


def never():
    raise AssertionError("this process does not decide")


def refusing(error: Exception):
    def refuse():
        raise error

    return refuse


def test_alone_it_is_what_one_decides_oneself():
    value = object()  # nothing that JSON knows
    assert decided(lambda: value) is value
    with pytest.raises(ConfigError, match="^no such folder$"):
        decided(refusing(ConfigError("no such folder")))


def test_the_others_take_what_process_0_found(store, monkeypatch):
    answers = [7, ["a", {"b": None}], "text", None]
    as_process(monkeypatch, 0)
    assert [decided(lambda x=x: x) for x in answers] == answers
    as_process(monkeypatch, 1)
    assert [decided(never) for _ in answers] == answers


def test_the_others_wait_for_it(store, monkeypatch):
    as_process(monkeypatch, 1)
    answer = json.dumps({"value": "late"})
    arguments = "vlp_jax/decided/0", answer
    threading.Timer(0.1, store.key_value_set, arguments).start()
    assert decided(never) == "late"


@pytest.mark.parametrize("kind", [ConfigError, RunError])
def test_all_raise_what_process_0_raised(store, monkeypatch, kind):
    as_process(monkeypatch, 0)
    with pytest.raises(kind, match="^the disk is full$"):
        decided(refusing(kind("the disk is full")))
    assert decided(lambda: 8) == 8  # and the next question has its own answer
    as_process(monkeypatch, 1)
    with pytest.raises(kind, match="^the disk is full$") as caught:
        decided(never)
    assert type(caught.value) is kind
    assert decided(never) == 8


def test_a_bug_is_nobodys_answer(store, monkeypatch):
    """The others notice that process 0 is gone, as in any collective."""
    as_process(monkeypatch, 0)
    with pytest.raises(ZeroDivisionError):
        decided(lambda: 1 / 0)
    assert store.texts == {}

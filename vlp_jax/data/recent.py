"""What was opened last stays open."""

import collections
import os
import threading
from collections.abc import Callable, Hashable
from typing import Any


class _Slot:
    def __init__(self):
        self.lock, self.loaded, self.value = threading.Lock(), False, None


class Recent:
    """Keeps the `size` things asked for last, and loads the others.

    Threads that ask for different things do not wait for each other's loading; those
    that ask for the same one load it once. Another process (a fork, or one that was
    sent a pickle) starts with nothing.

    Args:
      load: key -> thing; what it raises reaches the caller, and nothing is kept.
      size: how many are kept.
    """

    def __init__(self, load: Callable[[Any], Any], size: int):
        self.load, self.size = load, size
        self._forget()

    def _forget(self) -> None:
        self._slots: collections.OrderedDict[Hashable, _Slot] = (
            collections.OrderedDict()
        )
        self._lock, self._process = threading.Lock(), os.getpid()

    def __getstate__(self):
        return self.load, self.size

    def __setstate__(self, state) -> None:
        self.load, self.size = state
        self._forget()

    def __getitem__(self, key: Hashable) -> Any:
        if self._process != os.getpid():
            self._forget()
        with self._lock:
            slot = self._slots.get(key)
            if slot is None:
                slot = self._slots[key] = _Slot()
                if len(self._slots) > self.size:
                    self._slots.popitem(last=False)
            else:
                self._slots.move_to_end(key)
        if not slot.loaded:
            with slot.lock:
                if not slot.loaded:
                    slot.value = self.load(key)
                    slot.loaded = True
        return slot.value

"""SIGTERM asks a run to save and end."""

import os
import signal
from collections.abc import Callable

from vlp_jax.core.errors import PREEMPTED
from vlp_jax.parallel.hosts import together, told_to_end

NOTHING_TO_SAVE = b"told to end before the first step: there is nothing to save\n"


class Preemption:
    """Listens for SIGTERM.

    Until `begin` there is nothing to save, and the process ends at once. From then on
    the first signal is a request, for the loop to see after its step; the second ends
    the process as SIGTERM always does (a shell shows 143 = 128 + 15).

    One of several processes leaves the signal to jax, which makes all of them stop
    after the same step; there a second signal does nothing. A signal that comes before
    the first step counts as soon as that is done.
    """

    def __init__(self):
        self._began = self._asked = False
        self._process = os.getpid()
        if not together():
            signal.signal(signal.SIGTERM, self._receive)

    def begin(self) -> Callable[[int], bool]:
        """The function: steps done since -> whether to save and end after this one."""
        self._began = True
        return told_to_end if together() else lambda steps: self._asked

    def _receive(self, number: int, frame) -> None:
        if os.getpid() != self._process:  # a fork, such as a data worker: it just ends
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        if not self._began:
            # Nothing that was interrupted here could be trusted with an exception.
            os.write(1, NOTHING_TO_SAVE)
            os._exit(PREEMPTED)
        self._asked = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

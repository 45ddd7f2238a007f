"""Processes on this machine that live and die together, and start again.

Each process leads a process group of its own, so that what it has started can be ended
with it. Exit codes: 0 done, 75 preempted and saved (start again, uncounted), 78 a
setting is wrong (never again), any other a failure that is retried.
"""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vlp_jax.core.errors import CONFIG_WRONG, PREEMPTED, ConfigError

LOOK_EVERY = 0.05  # seconds
END_WITHIN = 5.0  # seconds between SIGTERM and SIGKILL, once the run is lost anyway


@dataclasses.dataclass(frozen=True)
class Process:
    """What to start. log: the file its output is added to; None: the terminal."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None = None

    def start(self) -> subprocess.Popen:
        """ConfigError where there is no such program or the log cannot be written."""
        output = None
        try:
            if self.log:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                output = self.log.open("ab")
            return subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output and subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(
                f"cannot start {self.command[0]!r}: {error.strerror} "
                f"({error.filename}); is .venv activated?"
            ) from None
        finally:
            if output:
                output.close()


class StopSignals:
    """Counts the signals that ask the launcher to stop, while it is entered."""

    def __init__(self):
        self.received: list[int] = []
        self._before = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _) -> None:
        # A closed terminal is a request to save and stop, like SIGTERM.
        self.received.append(signal.SIGTERM if number == signal.SIGHUP else number)


class Attempt:
    """One start of all processes, from the first to the last of them."""

    def __init__(self, processes: Sequence[Process]):
        self.running: dict[int, subprocess.Popen] = {}
        self.ended: list[tuple[int, int]] = []  # (number, exit code), first one first
        try:
            for number, process in enumerate(processes):
                self.running[number] = process.start()
        except BaseException:
            self.kill()
            raise

    def wait(self, stop: StopSignals, grace_seconds: float) -> int:
        """Waits for all processes; ends the others when one fails. -> exit code.

        The first signal to the launcher is passed on, and gives them the grace to
        save; the second ends them at once. After an exit with 75 the others have the
        grace as well: they are about to do the same.
        """
        deadline, passed_on = None, False
        while self._look():
            failures = [code for _, code in self.ended if code]
            if len(stop.received) > 1:
                break
            if stop.received and not passed_on:
                self._tell(stop.received[0])
                deadline, passed_on = time.monotonic() + grace_seconds, True
            elif failures and deadline is None:
                saved = failures[0] == PREEMPTED
                if not saved:
                    self._end_groups(signal.SIGTERM)
                deadline = time.monotonic() + (grace_seconds if saved else END_WITHIN)
            if deadline is not None and time.monotonic() > deadline:
                break
            time.sleep(LOOK_EVERY)
        self.kill()
        return self.outcome()[1]

    def outcome(self) -> tuple[int, int]:
        """(number, exit code) of the process that decided how the attempt ended."""
        for number, code in self.ended:
            if code == CONFIG_WRONG:
                return number, code
        for number, code in self.ended:
            if code not in (0, PREEMPTED):
                return number, code
        return max(self.ended, key=lambda end: end[1])

    def kill(self) -> None:
        """Ends what still runs, and whatever it has started."""
        self._end_groups(signal.SIGKILL)
        for process in self.running.values():
            process.wait()
        self._look()

    def _look(self) -> bool:
        """Notes which processes have ended; whether any still runs."""
        for number, process in list(self.running.items()):
            code = process.poll()
            if code is not None:
                del self.running[number]
                _signal_group(process.pid, signal.SIGKILL)  # what it left behind
                # As a shell says it: 128 and the number of the signal.
                self.ended.append((number, code if code >= 0 else 128 - code))
        return bool(self.running)

    def _tell(self, number: int) -> None:
        for process in self.running.values():
            process.send_signal(number)  # not its group: it ends its helpers itself

    def _end_groups(self, number: int) -> None:
        for process in self.running.values():
            _signal_group(process.pid, number)


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # it is empty, or on macOS a zombie
        pass


def supervise(
    processes: Callable[[], Sequence[Process]], retries: int, grace_seconds: float
) -> int:
    """Runs the processes until they are done or not worth a retry. -> exit code.

    processes: makes them anew for each attempt (the port they meet at changes).
    """
    failed = 0
    with StopSignals() as stop:
        while True:
            attempt = Attempt(processes())
            code = attempt.wait(stop, grace_seconds)
            if stop.received or code in (0, CONFIG_WRONG):
                return code
            who = f"process {attempt.outcome()[0]} ended with exit code {code}"
            if code == PREEMPTED:
                report(f"{who} (preempted and saved): starting again")
            elif failed < retries:
                failed += 1
                report(f"{who}: starting again, retry {failed} of {retries}")
            else:
                report(f"{who}: giving up after {retries} retries")
                return code


def report(text: str) -> None:
    """A line for the person who watches, apart from what the processes print."""
    print(f"vlp_jax.launch  {text}", file=sys.stderr, flush=True)

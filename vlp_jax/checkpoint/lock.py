"""One run at a time writes to a workdir.

<workdir>/lock names the process that does: host, process id, when it began. Three
signs of life, each where the one before says nothing:

  flock      the kernel holds it as long as that process lives (one host; many network
             file systems too), so that after kill -9 the next run starts at once
  process    by its id and the clock tick it began at (the same host, but the file
             system knows no flock)
  heartbeat  the time of the file, which a thread renews (another host)
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from pathlib import Path

from vlp_jax.core.errors import FAILED, ConfigError, RunError
from vlp_jax.core.logs import errors, say
from vlp_jax.parallel.agreement import decided
from vlp_jax.parallel.hosts import leave

LOCK = "lock"
BEAT, STALE = 15.0, 120.0  # seconds
NO_FLOCK = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
FULL = (errno.ENOSPC, errno.EDQUOT)


def process_start(pid: int) -> str | None:
    """The clock tick that a process began at; None: no such process (or no /proc)."""
    try:
        # The name of the program, in parentheses, may hold anything.
        text = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if text[0] == "Z" else text[19]
    except OSError:
        return None


def _alive(owner: dict) -> bool:
    """Whether the process that an owner of this host names still runs."""
    try:
        os.kill(owner["pid"], 0)
    except PermissionError:
        pass  # of another user
    except OSError:
        return False
    return process_start(owner["pid"]) == owner["started"]


def _read(file: int) -> dict:
    """The owner that a lock names; {} while there is none yet."""
    try:
        owner = json.loads(os.pread(file, 4096, 0))
        return owner if owner.keys() >= {"host", "pid", "started", "since"} else {}
    except (ValueError, AttributeError):
        return {}


class Lock:
    """Held while it is entered. Process 0 takes it for all processes of a run.

    Args:
      workdir: the run's folder; it is made, and goes again if nothing came into it.
      beat, stale: seconds between two heartbeats, and after which one is dead.

    Raises RunError naming the process that has it, ConfigError where the workdir
    cannot be written.
    """

    def __init__(self, workdir: Path | str, beat: float = BEAT, stale: float = STALE):
        self.workdir, self.beat, self.stale = Path(workdir), beat, stale
        self.path = self.workdir / LOCK
        self._file: int | None = None
        self._done = threading.Event()

    def __enter__(self) -> "Lock":
        decided(self._take)
        return self

    def __exit__(self, *_) -> None:
        """The next run finds nothing; what a crash leaves it recognises."""
        self._done.set()
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            if self._is_ours():
                self.path.unlink()
            os.close(self._file)
            if self._made:
                self.workdir.rmdir()  # only if it is empty
        self._file = None

    def _take(self) -> None:
        if self.workdir.exists() and not self.workdir.is_dir():
            raise ConfigError(f"--workdir={self.workdir} is a file; name a folder")
        self._made = not self.workdir.exists()
        try:
            self.workdir.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            kind = RunError if error.errno in FULL else ConfigError
            raise kind(
                f"--workdir={self.workdir} cannot be written: {error.strerror}; make "
                "it writable or name another folder"
            ) from None
        os.register_at_fork(after_in_child=self._let_go)
        threading.Thread(target=self._keep, daemon=True).start()

    def _open(self) -> None:
        """Opens and marks the file; again where its owner went in the meantime."""
        while True:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
            try:
                gone = self._wait_for_owner()
                if not gone and self._is_ours():
                    self._mark()
                    return
            except BaseException:
                os.close(self._file)
                self._file = None
                raise
            if gone and self._is_ours():
                self.path.unlink()  # whoever still holds it holds another file now
            os.close(self._file)

    def _wait_for_owner(self) -> bool:
        """Returns when nobody is in the way; True: but the file is a dead one's.

        Raises RunError when somebody is. A run on another host is given the time to
        show a sign of life, or else to be taken for dead; should it live after all, it
        finds another file than its own (see _keep).
        """
        held = self._flock()
        owner = _read(self._file)
        here = owner.get("host") == socket.gethostname()
        if held is False and (here or not owner):
            self._refuse(owner)
        if here:  # with flock it is dead, or we would not have it
            if held is None and _alive(owner):
                self._refuse(owner)
            return False
        if not owner:
            return False
        seen = os.fstat(self._file).st_mtime_ns
        # By the clock that writes these times, which may be the file server's.
        age = self._now() - seen / 1e9
        until = time.monotonic() + self.stale - age
        if age < self.stale:
            say(
                f"{self.path} is of process {owner['pid']} on {owner['host']}; waiting "
                f"up to {self.stale - age:.0f} s for a sign of life"
            )
        while time.monotonic() < until and self._is_ours():
            if os.fstat(self._file).st_mtime_ns != seen:
                self._refuse(owner)
            time.sleep(min(1.0, self.beat / 4))
        if not self._is_ours():  # it has ended meanwhile, and taken its file along
            return True
        say(
            f"  lock      taken over from process {owner['pid']} on {owner['host']}, "
            f"which gave no sign of life for {self.stale:.0f} s"
        )
        return True

    def _flock(self) -> bool | None:
        """Whether we have the kernel's lock; None where the file system has none."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in NO_FLOCK:
                return None
            raise

    def _refuse(self, owner: dict) -> None:
        who = "another process"
        end = "end it"
        if owner:
            who = f"process {owner['pid']} on {owner['host']} since {owner['since']}"
            end += f" (kill {owner['pid']} on {owner['host']})"
        raise RunError(
            f"{self.workdir} is in use by {who}\n"
            f"Wait until it has ended, {end}, or name another --workdir"
        )

    def _now(self) -> float:
        """The time as the file system of the workdir has it."""
        probe = self.workdir / f"{LOCK}.{socket.gethostname()}.{os.getpid()}"
        try:
            probe.touch()
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        """Whether the path still leads to the file that we have open."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _mark(self) -> None:
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": process_start(os.getpid()),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(owner).encode(), 0)

    def _let_go(self) -> None:
        """In a forked child: it may live longer, and would still hold the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _keep(self) -> None:
        """A thread: shows that we live, and ends us if that was not believed."""
        while not self._done.wait(self.beat):
            with contextlib.suppress(OSError):  # a file server that is away for a while
                if self.path.exists() and not self._is_ours():
                    break
                os.utime(self._file)
        else:
            return
        errors.print(
            f"error: another run has taken over {self.workdir}: this one gave no sign "
            f"of life for {self.stale:.0f} s",
            markup=False,
        )
        leave(FAILED)

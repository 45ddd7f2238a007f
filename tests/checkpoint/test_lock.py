"""One run at a time, told apart from the dead: real processes, real kernel locks."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.processes import wait_until
from vlp_jax.checkpoint import lock
from vlp_jax.checkpoint.lock import LOCK, Lock, process_start
from vlp_jax.core.errors import ConfigError, RunError

ROOT = Path(__file__).parents[2]
TIME_LIMIT = 100  # seconds; far above what it takes
HOLDER = """
import sys, time
from vlp_jax.checkpoint.lock import Lock
with Lock(sys.argv[1], beat=0.1, stale=1.0):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of tmp_path / 'run'."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait(TIME_LIMIT)


def owner(workdir) -> dict:
    return json.loads((workdir / LOCK).read_text())


def leave_behind(workdir, **changed) -> None:
    """The lock of a process that is not there any more, or elsewhere."""
    workdir.mkdir(exist_ok=True)
    found = {"host": "elsewhere", "pid": 77, "started": "5", "since": "yesterday"}
    (workdir / LOCK).write_text(json.dumps(found | changed))


def test_it_says_who_has_it_and_goes_with_it(tmp_path):
    with Lock(tmp_path):
        found = owner(tmp_path)
        assert (found["host"], found["pid"]) == (socket.gethostname(), os.getpid())
        assert found["started"] == process_start(os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_a_workdir_that_stays_empty_goes_again(tmp_path):
    with pytest.raises(KeyError), Lock(tmp_path / "run"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with Lock(tmp_path / "run"):
        (tmp_path / "run" / "file").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["file"]


@pytest.mark.fault("F15")
def test_a_second_process_is_refused_in_two_lines(tmp_path, holder):
    workdir = tmp_path / "run"
    before = (workdir / LOCK).read_text()
    with pytest.raises(RunError) as caught, Lock(workdir):
        pass
    first, second = str(caught.value).splitlines()
    who = f"process {holder.pid} on {socket.gethostname()} since "
    assert first == f"{workdir} is in use by {who}{owner(workdir)['since']}"
    assert f"(kill {holder.pid} on {socket.gethostname()})" in second
    assert [path.name for path in workdir.iterdir()] == [LOCK]
    assert (workdir / LOCK).read_text() == before


@pytest.mark.fault("F15")
def test_a_killed_process_leaves_nothing_in_the_way(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait(TIME_LIMIT)
    assert owner(tmp_path / "run")["pid"] == holder.pid
    with Lock(tmp_path / "run"):
        assert owner(tmp_path / "run")["pid"] == os.getpid()


@pytest.mark.fault("F15")
def test_of_many_at_once_one_gets_it(tmp_path):
    results, start = [], threading.Barrier(8)
    done = threading.Event()

    def take():
        start.wait()
        try:
            with Lock(tmp_path):
                results.append("held")
                done.wait(TIME_LIMIT)
        except RunError:
            results.append("refused")

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(results) < 8:
        time.sleep(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["held"] + ["refused"] * 7
    assert list(tmp_path.iterdir()) == []


def test_a_torn_lock_of_nobody_is_taken(tmp_path):
    for content in ("", '{"host": "els', "[1]", "{}"):
        (tmp_path / LOCK).write_text(content)
        with Lock(tmp_path):
            assert owner(tmp_path)["pid"] == os.getpid()


# ---- where the file system knows no flock


@pytest.fixture
def no_flock(monkeypatch):
    monkeypatch.setattr(Lock, "_flock", lambda self: None)


def test_without_flock_the_process_counts(tmp_path, holder, no_flock):
    with pytest.raises(RunError, match=f"in use by process {holder.pid} on"):
        Lock(tmp_path / "run").__enter__()
    holder.send_signal(signal.SIGKILL)
    holder.wait(TIME_LIMIT)
    with Lock(tmp_path / "run"):
        assert owner(tmp_path / "run")["pid"] == os.getpid()


def test_another_process_that_got_the_number_is_not_the_owner(
    tmp_path, holder, no_flock
):
    leave_behind(tmp_path, host=socket.gethostname(), pid=holder.pid, started="12")
    with Lock(tmp_path):
        assert owner(tmp_path)["pid"] == os.getpid()


# ---- another host


@pytest.mark.fault("F15")
def test_a_heartbeat_from_another_host_is_respected(tmp_path):
    leave_behind(tmp_path)
    done = threading.Event()

    def beat():
        while not done.wait(0.2):
            os.utime(tmp_path / LOCK)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(RunError, match="by process 77 on elsewhere since"):
            Lock(tmp_path, beat=0.2, stale=60.0).__enter__()
    finally:
        done.set()
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


@pytest.mark.fault("F15")
def test_without_one_it_is_taken_over_with_a_line(tmp_path, capsys):
    leave_behind(tmp_path)
    with Lock(tmp_path, beat=0.2, stale=1.0):
        assert owner(tmp_path)["pid"] == os.getpid()
    said = capsys.readouterr().out
    assert "waiting up to 1 s for a sign of life" in said
    assert "taken over from process 77 on elsewhere" in said
    leave_behind(tmp_path)
    os.utime(tmp_path / LOCK, (0, 0))  # long ago: nothing to wait for
    with Lock(tmp_path):
        assert owner(tmp_path)["pid"] == os.getpid()
    assert "waiting" not in capsys.readouterr().out


def test_who_was_taken_for_dead_ends_itself(tmp_path, holder):
    """Frozen long enough, it wakes up and finds the lock of another run."""
    workdir = tmp_path / "run"
    holder.send_signal(signal.SIGSTOP)
    (workdir / LOCK).unlink()
    leave_behind(workdir)
    holder.send_signal(signal.SIGCONT)
    assert holder.wait(TIME_LIMIT) == 1
    assert owner(workdir)["host"] == "elsewhere"


def test_the_heart_beats(tmp_path):
    with Lock(tmp_path, beat=0.05):
        os.utime(tmp_path / LOCK, (0, 0))
        wait_until(lambda: (tmp_path / LOCK).stat().st_mtime >= 1e9)


# ---- a folder that cannot be written


def test_what_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="--workdir=.*/file is a file; name a folder"):
        Lock(tmp_path / "file").__enter__()
    with pytest.raises(ConfigError, match="cannot be written: Not a directory; make"):
        Lock(tmp_path / "file" / "run").__enter__()
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "kind"), [(30, ConfigError), (13, ConfigError), (28, RunError)]
)
def test_what_cannot_be_written(tmp_path, monkeypatch, number, kind):
    """Read-only, not permitted: a wrong folder. Full: it may have room later."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.os, "open", refuse)
    with pytest.raises(kind, match=f"cannot be written: {os.strerror(number)}"):
        Lock(tmp_path).__enter__()

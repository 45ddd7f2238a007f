"""Processes are started again, get signals passed on, and leave nobody behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.launching.processes import (
    STARTS,
    TIME_LIMIT,
    assert_nobody_is_left,
    local,
    process_ids,
    starts,
    wait_for,
)
from tests.processes import is_alive

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("folder")


# ---- what is started again


def test_done_is_done():
    assert local("exit 0").submit() == 0
    assert starts() == 1


def test_a_failure_is_retried_so_many_times(capfd):
    assert local("exit 3", retries=2).submit() == 3
    assert starts() == 3
    said = capfd.readouterr().err
    assert "process 0 ended with exit code 3: starting again, retry 1 of 2" in said
    assert "giving up after 2 retries" in said


def test_the_retry_that_works_ends_it():
    assert local("test $n -eq 3", retries=5).submit() == 0
    assert starts() == 3


def test_a_wrong_setting_is_never_retried():
    assert local("exit 78", retries=5).submit() == 78
    assert starts() == 1


def test_preemption_is_not_counted(capfd):
    assert local("test $n -le 4 && exit 75; exit 1", retries=1).submit() == 1
    assert starts() == 6  # four times saved, two failures
    assert "(preempted and saved): starting again" in capfd.readouterr().err


def test_a_killed_process_is_a_failure():
    assert local("kill -9 $$", retries=1).submit() == 128 + signal.SIGKILL
    assert starts() == 2


# ---- several processes


def test_a_killed_process_ends_the_others_and_what_they_started():
    script = """
        sleep 60 & echo $! > helper.$JAX_PROCESS_ID
        if [ $JAX_PROCESS_ID = 1 ]; then sleep 0.2; kill -9 $$; fi
        wait
    """
    began = time.monotonic()
    found = local(script, processes_per_node=3, retries=1).submit()
    assert found == 128 + signal.SIGKILL
    assert [starts(n) for n in range(3)] == [2, 2, 2]
    assert_nobody_is_left()
    assert time.monotonic() - began < 30


def test_one_that_ignores_sigterm_is_killed(monkeypatch):
    monkeypatch.setattr("vlp_jax.launching.supervisor.END_WITHIN", 0.3)
    script = """
        if [ $JAX_PROCESS_ID = 1 ]; then sleep 0.2; exit 4; fi
        trap '' TERM; while :; do sleep 0.1; done
    """
    assert local(script, processes_per_node=2, retries=0).submit() == 4
    assert_nobody_is_left()


def test_what_a_finished_process_left_running_is_ended():
    assert local("sleep 60 & echo $! > helper").submit() == 0
    assert_nobody_is_left()


def test_the_others_may_finish_saving_after_the_first_exit_with_75():
    script = """
        test $n -eq 2 && exit 0
        if [ $JAX_PROCESS_ID = 1 ]; then sleep 0.4; touch saved; fi
        exit 75
    """
    assert local(script, processes_per_node=2, retries=0).submit() == 0
    assert Path("saved").exists()
    assert (starts(0), starts(1)) == (2, 2)


def test_not_all_saved_is_a_failure():
    """The checkpoint of such an attempt is not whole."""
    script = "[ $JAX_PROCESS_ID = 0 ] && exit 75; sleep 0.2; exit 5"
    assert local(script, processes_per_node=2, retries=1).submit() == 5
    assert (starts(0), starts(1)) == (2, 2)


# ---- signals to the launcher

SAVES = """
    trap 'sleep 0.3; touch saved; exit 75' TERM
    trap 'exit 130' INT
    touch ready; while :; do sleep 0.05; done
"""
STUBBORN = "trap '' TERM INT; touch ready; while :; do sleep 0.05; done"


@pytest.fixture
def launch(folder):
    """Starts the program with a shell script to run; ends all of it at the end."""
    launchers = []

    def start(script: str, *flags: str) -> subprocess.Popen:
        spec = f"--spec={ROOT}/launch/local.py"
        command = [sys.executable, "-m", "vlp_jax.launch", spec, "--submit", *flags]
        launcher = subprocess.Popen(
            [*command, "--", "sh", "-c", STARTS + script],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        launchers.append(launcher)
        return launcher

    yield start
    for launcher in launchers:
        launcher.kill()
        launcher.wait(TIME_LIMIT)
    for process_id in filter(is_alive, process_ids()):
        os.kill(process_id, signal.SIGKILL)


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGTERM, 75), (signal.SIGHUP, 75), (signal.SIGINT, 130)]
)
def test_a_signal_is_passed_on_and_the_run_is_over(launch, sent, code):
    launcher = launch(SAVES)
    wait_for("ready")
    launcher.send_signal(sent)
    assert launcher.wait(TIME_LIMIT) == code
    assert Path("saved").exists() == (code == 75)
    assert starts() == 1
    assert_nobody_is_left()


def test_after_the_grace_it_is_killed(launch):
    launcher = launch(STUBBORN, "--spec.grace_seconds=1")
    wait_for("ready")
    launcher.terminate()
    assert launcher.wait(TIME_LIMIT) == 128 + signal.SIGKILL
    assert_nobody_is_left()


def test_a_second_signal_does_not_wait(launch):
    launcher = launch(STUBBORN, "--spec.grace_seconds=1000")
    wait_for("ready")
    launcher.terminate()
    time.sleep(0.5)
    assert launcher.poll() is None
    launcher.terminate()
    assert launcher.wait(TIME_LIMIT) == 128 + signal.SIGKILL
    assert_nobody_is_left()

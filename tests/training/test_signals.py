"""SIGTERM: at once before there is anything to save, then a request, then the end."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vlp_jax.training import signals
from vlp_jax.training.signals import Preemption

ROOT = Path(__file__).parents[2]
TIME_LIMIT = 100  # seconds; each takes one or two


@pytest.fixture
def restored():
    """SIGTERM means afterwards what it meant before."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_first_signal_is_seen_after_the_step(restored):
    preempted = Preemption().begin()
    assert not preempted(1)
    signal.raise_signal(signal.SIGTERM)
    assert preempted(2) and preempted(3)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_with_others_the_signal_is_left_to_jax(restored, monkeypatch):
    asked = []
    monkeypatch.setattr(signals, "together", lambda: True)
    monkeypatch.setattr(signals, "told_to_end", lambda steps: asked.append(steps))
    before = signal.getsignal(signal.SIGTERM)
    preempted = Preemption().begin()
    assert signal.getsignal(signal.SIGTERM) is before
    preempted(1)
    preempted(2)
    assert asked == [1, 2]


def ending(script: str) -> subprocess.CompletedProcess:
    """How a process ends that signals itself."""
    start = "import signal\nfrom vlp_jax.training.signals import Preemption\n"
    return subprocess.run(
        [sys.executable, "-c", start + script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
    )


def test_before_the_first_step_it_ends_at_once():
    found = ending("Preemption(); signal.raise_signal(signal.SIGTERM); print('on')")
    assert found.returncode == 75
    assert found.stdout == signals.NOTHING_TO_SAVE.decode() and found.stderr == ""


def test_the_second_signal_ends_it_at_once():
    found = ending(
        "Preemption().begin()\n"
        "signal.raise_signal(signal.SIGTERM); print('on', flush=True)\n"
        "signal.raise_signal(signal.SIGTERM); print('still', flush=True)"
    )
    assert found.returncode == -signal.SIGTERM
    assert found.stdout == "on\n"


def test_a_forked_process_just_ends():
    found = ending(
        "import os\n"
        "asked = Preemption().begin()\n"
        "child = os.fork()\n"
        "if not child: signal.raise_signal(signal.SIGTERM)\n"
        "print(os.waitpid(child, 0)[1], asked(1))"
    )
    assert found.stdout == f"{int(signal.SIGTERM)} False\n"

"""A real process that hangs, does not hang, or hangs while it ends."""

import subprocess
import sys
import threading
from pathlib import Path

from vlp_jax.training.watchdog import PATIENT, Watchdog

ROOT = Path(__file__).parents[2]
TIME_LIMIT = 100  # seconds; each takes a few
START = """\
import sys, threading, time
from pathlib import Path
from vlp_jax.training import watchdog

watchdog.LOOK_EVERY = 0.1
dog = watchdog.Watchdog(0.5, Path(sys.argv[1]) / "run")
"""


def ending(script: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", START + script, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
    )


def test_a_process_that_hangs_says_where_and_ends(tmp_path):
    found = ending(
        """
def stuck_for_ever():
    threading.Event().wait()

def other_thread():
    time.sleep(1000)

threading.Thread(target=other_thread, daemon=True).start()
with dog:
    for step in range(20):  # four times the limit, each within it
        dog.at(f"step {step}")
        time.sleep(0.1)
    print("so far", flush=True)
    dog.at("waiting for the batch of step 20")
    stuck_for_ever()
""",
        tmp_path,
    )
    assert found.returncode == 76 and found.stdout == "so far\n"
    path = tmp_path / "run" / "hang-process0.txt"
    first = "error: hangs: waiting for the batch of step 20 for more than 0.5 s. "
    for text in (found.stderr, path.read_text()):
        assert text.startswith(first) and str(path) in text
        assert "in stuck_for_ever" in text and "in other_thread" in text


def test_it_is_patient_where_it_is_told_to(tmp_path):
    found = ending(
        f"""
with dog:
    dog.at("compiling", {PATIENT})
    time.sleep(1.2)
    print("compiled", flush=True)
    dog.at("compiling", {PATIENT})
    time.sleep(1000)
""",
        tmp_path,
    )
    assert found.returncode == 76 and found.stdout == "compiled\n"
    assert "compiling for more than 2 s" in found.stderr


def test_an_error_that_follows_from_the_hang_does_not_end_it_first(tmp_path):
    """Another process that ends tears down a collective here: code 76 all the same."""
    found = ending(
        """
def slow(*_):
    barked.set()
    time.sleep(1)

barked = threading.Event()
watchdog._write = slow
with dog:
    barked.wait()
    raise SystemExit(1)
""",
        tmp_path,
    )
    assert found.returncode == 76


def test_without_a_limit_or_after_its_end_nothing_watches(tmp_path):
    before = threading.active_count()
    with Watchdog(0, tmp_path) as dog:
        dog.at("step 1")
        assert threading.active_count() == before
    with Watchdog(100, tmp_path):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before

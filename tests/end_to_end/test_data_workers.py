"""What reads the data dies: the run ends at once and says so, and goes on exactly."""

import os
import signal
import time

import numpy as np
import pytest

from tests.end_to_end.same_run import TINY, checkpoint, last_row, rows
from tests.processes import data_workers, is_alive, wait_until

WITHIN = 15  # seconds; it takes two or so, most of them to write the checkpoint


@pytest.mark.long
@pytest.mark.fault("F12")
@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads /proc")
def test_a_killed_worker_ends_the_run_and_a_restart_is_exact(
    program, tiny_run, tmp_path
):
    flags = (TINY, f"--workdir={tmp_path}", "--config.data.workers=2")
    process = program.start("train", *flags)
    wait_until(lambda: last_row(tmp_path) >= 12, process)
    mine = data_workers(process.pid)
    assert len(mine) == 2
    os.kill(mine[1], signal.SIGKILL)
    start = time.monotonic()
    found = program.wait(process)
    print(f"ended after {time.monotonic() - start:.1f} s")
    assert time.monotonic() - start < WITHIN
    assert found.code == 1
    assert found.err.startswith(f"error: data worker {mine[1]} was killed by SIGKILL")
    assert "the same command goes on from the newest checkpoint" in found.err
    assert len(found.err.splitlines()) <= 2 and "Traceback" not in found.out
    wait_until(lambda: not any(is_alive(pid) for pid in mine))
    assert last_row(tmp_path) < 40
    program("train", *flags).check()
    # The reference was read by threads.
    expected, again = checkpoint(tiny_run.workdir), checkpoint(tmp_path)
    assert again.keys() == expected.keys()
    for path in expected:
        np.testing.assert_array_equal(again[path], expected[path], err_msg=path)
    assert rows(tmp_path) == rows(tiny_run.workdir)


@pytest.mark.long
@pytest.mark.fault("F12")
def test_a_thread_that_dies_ends_the_run(program, recipe_file, tmp_path):
    """Of what `except Exception` does not see: a panic in Rust, a library's exit."""
    recipe = recipe_file(
        "import threading",
        "from vlp_jax.data.sources.digit_scenes import DigitScenes",
        "read = DigitScenes.__getitem__",
        "def dies(source, index):",
        "    if threading.current_thread() is not threading.main_thread():",
        "        if index == 301:",  # the tokenizer, trained before, does not read it
        "            raise SystemExit(3)",
        "    return read(source, index)",
        "DigitScenes.__getitem__ = dies",
    )
    found = program("train", f"--config={recipe}", f"--workdir={tmp_path / 'run'}")
    assert found.code == 1
    assert found.err.startswith("error: reading the data failed with SystemExit(3)")
    assert len(found.err.splitlines()) <= 2

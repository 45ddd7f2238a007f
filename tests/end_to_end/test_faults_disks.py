"""Full disks and folders that cannot be written: real file systems, real limits.

A run that is given more room goes on, and ends as one that nothing has happened to.
"""

import contextlib
import json
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.outcomes import assert_failed
from tests.end_to_end.same_run import TINY, assert_same_arrays, assert_same_run
from vlp_jax.checkpoint.steps import committed_steps, newest_good
from vlp_jax.core.logs import METRICS_FILE


@contextlib.contextmanager
def small_disk(folder: Path, size: str):
    """A file system of its own at a folder; skips where one may not be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, stderr=-3).returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.mark.long
@pytest.mark.fault("F8")
def test_a_full_disk_and_the_same_command_with_more_room(program, tiny_run, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "3m"):
        workdir = disk / "run"
        found = program("train", TINY, f"--workdir={workdir}")
        newest = committed_steps(workdir)[-1]
        assert 5 <= newest < 40
        assert_failed(
            found,
            f"step {newest + 5} could not be saved in {workdir}/checkpoints (No space "
            f"left on device); step {newest} is intact. Make room",
        )
        assert newest_good(workdir) == (newest, {})
        remount(disk, "size=50m")
        found = program("train", TINY, f"--workdir={workdir}").check()
        assert f"going on from step {newest}" in found.out
        assert_same_run(workdir, tiny_run.workdir)


# A row that makes the metrics larger than any other file that the run writes.
FILLING = json.dumps({"step": 5, "pad": "x" * 10**6}) + "\n"


LIMITED = {
    "a checkpoint": (
        "",
        "step 10 could not be saved in {}/checkpoints (File too large); step 5 is "
        "intact.",
    ),
    "metrics": (
        FILLING,
        "metrics cannot be written to {} (File too large). Checkpoints are intact",
    ),
}


@pytest.mark.fault("F8")
@pytest.mark.long
@pytest.mark.parametrize("what", LIMITED)
def test_a_limit_on_file_sizes(program, tiny_run, tmp_path, what):
    """As a full disk, where nobody may mount one; here in the first save of a leg."""
    filling, said = LIMITED[what]
    command = ("train", TINY, f"--workdir={tmp_path}")
    program(*command, "--config.stop_after=5").check()
    metrics = tmp_path / METRICS_FILE
    rows_so_far = metrics.read_text()
    metrics.write_text(rows_so_far + filling)
    limit = max(50_000, metrics.stat().st_size + 50)
    process = program.start(*command)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    assert_failed(program.wait(process), said.format(tmp_path))
    if filling:
        metrics.write_text(rows_so_far)
    program(*command).check()
    assert_same_arrays(tmp_path, tiny_run.workdir)


@pytest.mark.fault("F8")
def test_a_workdir_that_cannot_be_written(program, tmp_path):
    found = program("train", TINY, "--workdir=/dev/null/run")
    assert found.code == 78
    assert found.err == (
        "error: --workdir=/dev/null/run cannot be written: Not a directory; make it "
        "writable or name another folder\n"
    )
    disk = tmp_path / "disk"
    with small_disk(disk, "1m"):
        remount(disk, "ro")
        found = program("train", TINY, f"--workdir={disk}/run")
        assert found.code == 78
        assert f"{disk}/run cannot be written: Read-only file system" in found.err

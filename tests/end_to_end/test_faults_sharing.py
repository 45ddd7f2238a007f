"""Two runs in one folder, other data in it, two processes of a run: real processes."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.outcomes import assert_failed, files_of, fingerprint
from tests.end_to_end.same_run import (
    TINY,
    assert_same_run,
    is_saving,
    last_row,
    rows,
)
from tests.end_to_end.several import start_together
from tests.processes import wait_until
from vlp_jax.checkpoint.manifest import damage
from vlp_jax.checkpoint.steps import CHECKPOINTS, committed_steps, newest_good
from vlp_jax.core.errors import PREEMPTED

LONG = ("--config.steps=100000", "--config.checkpoint.every=3")


# ---- two runs in one folder (F15)


@pytest.mark.long
@pytest.mark.fault("F15")
@pytest.mark.fault("F17")
def test_a_second_run_is_refused_and_the_first_goes_on(program, tmp_path):
    command = ("train", TINY, f"--workdir={tmp_path}", *LONG)
    first = program.start(*command)
    wait_until(lambda: len(committed_steps(tmp_path)) > 1, first)
    lock = (tmp_path / "lock").read_text()
    pid = json.loads(lock)["pid"]
    assert pid == first.pid
    found = program(*command)
    assert_failed(found, f"{tmp_path} is in use by process {pid} on ", f"(kill {pid} ")
    assert found.out == ""
    assert (tmp_path / "lock").read_text() == lock
    assert first.poll() is None
    # kill -9, and the same command at once
    program.kill(first)
    step = committed_steps(tmp_path)[-1]
    second = program.start(*command)
    wait_until(lambda: last_row(tmp_path) > step + 6, second)
    second.send_signal(signal.SIGTERM)  # SIGINT is ignored in a shell's background
    assert program.wait(second).code == PREEMPTED
    assert not (tmp_path / "lock").exists()
    steps = [row["step"] for row in rows(tmp_path)]
    assert steps == sorted(set(steps)) and steps[0] == 3


# ---- other data (F13)


@pytest.mark.fault("F13")
@pytest.mark.long
def test_other_data_on_resume(program, tmp_path, recipe_file):
    root, workdir = tmp_path / "pictures", tmp_path / "run"
    root.mkdir()
    script = (
        "from PIL import Image; import sys\n"
        "for i in range(20): Image.new('RGB', (24, 24), (12 * i, 0, 0))"
        ".save(f'{sys.argv[1]}/{i}.png')"
    )
    subprocess.run([sys.executable, "-c", script, str(root)], check=True)
    table = root / "captions.csv"
    lines = [f"{i}.png,a picture {i}\n" for i in range(20)]
    table.write_text("image,caption\n" + "".join(lines))
    recipe = recipe_file(
        "from vlp_jax import recipe",
        "config.data.train = recipe.source('image_folder', captions='captions.csv')",
        "config.data.train.root = 'none'",
    )
    command = ("train", f"--config={recipe}", f"--workdir={workdir}")
    data = f"--config.data.train.root={root}"
    program(*command, data, "--config.stop_after=5").check()

    table = root.rename(tmp_path / "moved") / table.name
    table.write_text("image,caption\n" + "".join(lines[1:]))
    data = f"--config.data.train.root={table.parent}"
    before = fingerprint(workdir)
    found = program(*command, data, "--config.stop_after=7")
    assert found.code == 78
    assert len(found.err.splitlines()) == 2 and "--accept_changes" in found.err
    assert "on other data (20 -> 19 samples; 1 changed: captions.csv)" in found.err
    assert fingerprint(workdir) == before
    flags = ("--config.stop_after=7", "--accept_changes")
    found = program(*command, data, *flags).check()
    assert f"changed   data.train.root: {root} -> {table.parent}" in found.out
    assert "changed   data: 20 -> 19 samples; 1 changed: captions.csv" in found.out


# ---- two processes (F5)


@pytest.fixture(scope="module")
def of_two(program, tmp_path_factory) -> Path:
    """The run of tiny.py by two processes, each with half of every array."""
    workdir = tmp_path_factory.mktemp("two") / "run"
    flags = (TINY, f"--workdir={workdir}", "--config.mesh.fsdp=8")
    for process in start_together(program, "train", *flags):
        program.wait(process).check()
    return workdir


@pytest.mark.fault("F5")
@pytest.mark.long
def test_the_manifest_holds_the_files_of_both_processes(of_two):
    for step in committed_steps(of_two):
        folder = of_two / CHECKPOINTS / str(step)
        listed = json.loads((folder / "manifest.json").read_text())["files"]
        found = {path.relative_to(folder).as_posix() for path in files_of(folder)}
        assert found == {*listed, "manifest.json"}
        for process in (0, 1):
            assert any(f"/ocdbt.process_{process}/d/" in name for name in listed)
        assert damage(folder) == ""


@pytest.mark.fault("F5")
@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_two_processes_killed_in_a_save(program, of_two, tmp_path, rank):
    flags = (TINY, f"--workdir={tmp_path}", "--config.mesh.fsdp=8")
    both = start_together(program, "train", *flags)
    wait_until(lambda: is_saving(tmp_path, 20), *both)
    program.kill(both[rank])
    assert program.wait(both[1 - rank]).code not in (0, 78)
    before = committed_steps(tmp_path)
    assert before[-1] in (15, 20) and newest_good(tmp_path)[0] == before[-1]
    again = start_together(program, "train", *flags)
    found = [program.wait(process).check() for process in again]
    assert f"going on from step {before[-1]}" in found[0].out
    names = {path.name for path in (tmp_path / CHECKPOINTS).iterdir()}
    assert names == {"30", "35", "40"}
    assert_same_run(tmp_path, of_two)

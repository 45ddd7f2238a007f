"""Damaged checkpoints, full disks, two runs in one folder: real processes, real files.

Where a run gets over it, it ends as one that nothing has happened to, bit for bit.
"""

import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.same_run import (
    TINY,
    assert_same_run,
    checkpoint,
    is_saving,
    last_row,
    rows,
)
from tests.end_to_end.several import start_together
from tests.end_to_end.test_errors import fingerprint
from vlp_jax.checkpoint.manifest import damage
from vlp_jax.checkpoint.steps import CHECKPOINTS, committed_steps, newest_good
from vlp_jax.core.errors import PREEMPTED
from vlp_jax.core.logs import METRICS_FILE

LONG = ("--config.steps=100000", "--config.checkpoint.every=3")
LIMIT = 200  # seconds; far above what anything here takes


@pytest.fixture
def copy(tiny_run, tmp_path) -> Path:
    """A copy of the finished run of tiny.py, with steps 30, 35 and 40."""
    shutil.copytree(tiny_run.workdir, tmp_path / "run")
    assert committed_steps(tmp_path / "run") == [30, 35, 40]
    return tmp_path / "run"


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path: Path, seed: int = 0) -> None:
    """Turns one bit of a file, drawn by the seed."""
    content = bytearray(path.read_bytes())
    bit = random.Random(seed).randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def array_file(workdir: Path, step: int) -> Path:
    """The file that holds most of a step's parameters."""
    files = files_of(workdir / CHECKPOINTS / str(step) / "model")
    return max(files, key=lambda path: path.stat().st_size)


def wait_for(condition, *processes) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.005)


def assert_failed(found, *said: str) -> None:
    assert found.code == 1, found
    assert found.err.startswith("error: ") and len(found.err.splitlines()) <= 2
    missing = [words for words in said if words not in found.err]
    assert not missing, f"{missing} not in: {found.err}"
    assert "Traceback" not in found.out + found.err


def assert_same_arrays(workdir: Path, reference: Path) -> None:
    """For a run in legs, which has a metric row at the end of each."""
    expected, found = checkpoint(reference), checkpoint(workdir)
    assert found.keys() == expected.keys()
    assert all(found[p].tobytes() == expected[p].tobytes() for p in found)


# ---- damaged files (F7, F17)


@pytest.mark.fault("F7")
def test_a_flipped_bit_is_noticed_in_every_file(copy):
    """The manifest and the files of orbax itself included."""
    step = copy / CHECKPOINTS / "40"
    files = files_of(step)
    assert len(files) > 40 and step / "manifest.json" in files
    for seed, path in enumerate(files):
        content = path.read_bytes()
        flip(path, seed)
        found, damaged = newest_good(copy)
        assert found == 35, path
        assert damaged[40].startswith(path.relative_to(step).as_posix())
        path.write_bytes(content)
    assert newest_good(copy) == (40, {})


@pytest.mark.fault("F7")
@pytest.mark.fault("F17")
def test_the_step_before_a_damaged_one_is_used_and_the_run_ends_the_same(
    program, copy, tiny_run
):
    path = array_file(copy, 40)
    flip(path)
    found = program("train", TINY, f"--workdir={copy}").check()
    name = path.relative_to(copy / CHECKPOINTS / "40")
    warnings = [x for x in found.out.splitlines() if x.startswith("warning: ")]
    assert warnings == [
        f"warning: checkpoint {copy}/checkpoints/40 is damaged ({name} has another "
        "content than was written); step 35 is used instead"
    ]
    assert "going on from step 35" in found.out
    assert f"kept      {copy}/checkpoints/40.damaged (" in found.out
    assert (copy / CHECKPOINTS / "40.damaged").is_dir()
    assert_same_run(copy, tiny_run.workdir)


@pytest.mark.fault("F7")
@pytest.mark.parametrize(
    "how",
    [
        "flipped",
        pytest.param("cut", marks=pytest.mark.long),
        pytest.param("gone", marks=pytest.mark.long),
    ],
)
def test_strict_ends_the_run_and_touches_nothing(program, copy, how):
    path = array_file(copy, 40)
    if how == "flipped":
        path = copy / CHECKPOINTS / "40" / "manifest.json"
        flip(path)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    before = fingerprint(copy)
    found = program("train", TINY, f"--workdir={copy}", "--strict")
    name = path.relative_to(copy / CHECKPOINTS / "40")
    assert_failed(found, f"(step 40: {name} ", "leave out --strict")
    assert fingerprint(copy) == before


@pytest.mark.fault("F7")
def test_without_a_good_step_nothing_is_begun_anew(program, copy):
    for step in committed_steps(copy):
        (copy / CHECKPOINTS / str(step) / "manifest.json").unlink()
    before = fingerprint(copy)
    found = program("train", TINY, f"--workdir={copy}")
    assert_failed(
        found, "is intact (step 40: manifest.json cannot be", "another workdir"
    )
    assert fingerprint(copy) == before


@pytest.mark.fault("F7")
def test_evaluate_and_initialise_look_as_well(program, copy, tmp_path):
    flip(array_file(copy, 40))
    flags = (f"--output={tmp_path / 'eval'}",)
    found = program("evaluate", f"--checkpoint={copy}", *flags).check()
    assert "step 35 is used instead" in found.out
    assert f"vlp_jax.evaluate  {copy}/checkpoints/35" in found.out
    named = copy / CHECKPOINTS / "40"
    assert_failed(
        program("evaluate", f"--checkpoint={named}", *flags),
        f"checkpoint {named} is damaged (model/",
    )
    found = program(
        "train",
        TINY,
        f"--workdir={tmp_path / 'new'}",
        f"--config.initialise.checkpoint={named}",
    )
    assert_failed(found, f"checkpoint {named} is damaged (model/")
    assert committed_steps(copy) == [30, 35, 40]  # both only look


# ---- evaluation beside a training (F18)


@pytest.mark.fault("F18")
@pytest.mark.long
def test_evaluate_beside_a_training_that_writes_and_deletes(program, tmp_path):
    workdir = tmp_path / "run"
    training = program.start(
        "train",
        TINY,
        f"--workdir={workdir}",
        "--config.steps=100000",
        "--config.checkpoint.every=1",
        "--config.checkpoint.keep=1",
    )
    wait_for(lambda: committed_steps(workdir), training)
    first = committed_steps(workdir)[-1]
    found = program(
        "evaluate", f"--checkpoint={workdir}", f"--output={tmp_path / 'eval'}"
    ).check()
    assert training.poll() is None
    step = re.search(r"vlp_jax.evaluate  .*/checkpoints/(\d+)\n", found.out)
    assert int(step[1]) >= first and "warning" not in found.out
    program.kill(training)


# ---- disks that are full (F8)


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


# ---- two runs in one folder (F15)


@pytest.mark.fault("F15")
@pytest.mark.fault("F17")
def test_a_second_run_is_refused_and_the_first_goes_on(program, tmp_path):
    command = ("train", TINY, f"--workdir={tmp_path}", *LONG)
    first = program.start(*command)
    wait_for(lambda: len(committed_steps(tmp_path)) > 1, first)
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
    wait_for(lambda: last_row(tmp_path) > step + 6, second)
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
    wait_for(lambda: is_saving(tmp_path, 20), *both)
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


@pytest.mark.fault("F7")
@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_damage_of_a_drawn_file(program, tiny_run, copy, seed):
    """Cut, gone or flipped; in any of the newest two steps; the run ends the same."""
    draw = random.Random(seed)
    for step in (40, 35)[: 1 + seed % 2]:
        path = draw.choice(files_of(copy / CHECKPOINTS / str(step)))
        print(f"seed {seed}: {path}")
        how = seed % 3
        if how == 0:
            os.truncate(path, draw.randrange(path.stat().st_size))
        elif how == 1:
            path.unlink()
        else:
            flip(path, seed)
    found = program("train", TINY, f"--workdir={copy}").check()
    assert f"going on from step {35 - 5 * (seed % 2)}" in found.out
    assert_same_run(copy, tiny_run.workdir)

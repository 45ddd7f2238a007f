"""Damaged checkpoints, and steps that are deleted while they are read: real processes.

Where a run gets over it, it ends as one that nothing has happened to, bit for bit.
"""

import os
import random
import re
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.outcomes import assert_failed, files_of, fingerprint
from tests.end_to_end.same_run import TINY, assert_same_run
from tests.processes import wait_until
from vlp_jax.checkpoint.steps import CHECKPOINTS, committed_steps, newest_good


@pytest.fixture
def copy(tiny_run, tmp_path) -> Path:
    """A copy of the finished run of tiny.py, with steps 30, 35 and 40."""
    shutil.copytree(tiny_run.workdir, tmp_path / "run")
    assert committed_steps(tmp_path / "run") == [30, 35, 40]
    return tmp_path / "run"


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
    wait_until(lambda: committed_steps(workdir), training)
    first = committed_steps(workdir)[-1]
    found = program(
        "evaluate", f"--checkpoint={workdir}", f"--output={tmp_path / 'eval'}"
    ).check()
    assert training.poll() is None
    step = re.search(r"vlp_jax.evaluate  .*/checkpoints/(\d+)\n", found.out)
    assert int(step[1]) >= first and "warning" not in found.out
    program.kill(training)

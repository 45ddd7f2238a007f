"""Two processes of four devices train what one process of eight does, and say it once.

The data hold pictures that cannot be read, so that counts of bad samples are compared
too. One run is begun by two processes, carried on by one and ended by two again.
"""

import csv
import json
import os
import re
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.end_to_end.several import run_two, slurm, start_together
from tests.processes import wait_until
from vlp_jax.cli import LOST_ANOTHER
from vlp_jax.core.logs import read_rows
from vlp_jax.data.sources.digit_scenes import DigitScenes

PICTURES, BROKEN = 60, (2, 17, 18, 40, 59)
STEPS = 12  # of 16 pairs: three passes
TINY = Path(__file__).with_name("tiny.py")
RECIPE = """\
import runpy

from vlp_jax import recipe


def get_config():
    config = runpy.run_path({tiny!r})["get_config"]()
    config.steps, config.log_every = {steps}, 1
    config.mesh.fsdp = 8  # no process holds the whole state
    config.checkpoint.every = config.evaluation.every = 4
    config.learning_rate.warmup_steps = 2
    config.data.train = recipe.source(
        "image_folder", root={root!r}, captions="captions.csv"
    )
    return config
"""


def lines(text: str) -> list[str]:
    """What the program says; gloo, the network below it, has a line of its own.

    Threads write that line, so that parts of it can stand alone.
    """
    gloo = (
        "is connected to # peer ranks. Expected number of connected peer ranks is : #"
    )
    return [
        line
        for line in text.splitlines()
        if not line.startswith("[Gloo]")
        and re.sub(r"\d+", "#", line).strip() not in gloo
    ]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> str:
    """A flag: the tiny recipe on a folder of pictures, some of them broken."""
    root = tmp_path_factory.mktemp("pictures")
    scenes = DigitScenes(split="train", size=PICTURES, canvas=24)
    with open(root / "captions.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("image", "caption"))
        for index in range(PICTURES):
            path = root / f"{index}.png"
            Image.fromarray(scenes[index].image).save(path)
            if index in BROKEN:
                path.write_bytes(path.read_bytes()[:99])
            table.writerows((path.name, text) for text in scenes[index].captions)
    recipe = root / "recipe.py"
    text = RECIPE.format(tiny=str(TINY), steps=STEPS, root=str(root))
    recipe.write_text(text)
    return f"--config={recipe}"


@pytest.fixture(scope="module")
def alone(program, config, tmp_path_factory):
    """The run of one process with eight devices: (workdir, how it ended)."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    return workdir, program("train", config, f"--workdir={workdir}", devices=8).check()


@pytest.fixture(scope="module")
def shared(program, config, tmp_path_factory):
    """The same run by two, one and two processes: (workdir, how each leg ended)."""
    workdir = tmp_path_factory.mktemp("shared") / "run"
    flags = (config, f"--workdir={workdir}")
    first = run_two(program, "train", *flags, "--config.stop_after=4", variables=slurm)
    second = program("train", *flags, "--config.stop_after=8", devices=8)
    third = run_two(program, "train", *flags)
    for found in (*first, second, *third):
        found.check()
    return workdir, (first, [second], third)


@pytest.mark.long
def test_only_process_0_talks(alone, shared):
    for leg in shared[1]:
        assert all(lines(found.out) == [] for found in leg[1:])
        assert all(found.err == "" for found in leg)
    for leg, (start, stop) in zip(shared[1], ((1, 5), (5, 9), (9, 13)), strict=True):
        steps = [x for x in lines(leg[0].out) if x.startswith("step ")]
        assert [x.split()[1] for x in steps] == [
            f"{step}/{stop - 1}" for step in range(start, stop)
        ]
    assert "8 x cpu (data 1, fsdp 8," in alone[1].out
    assert "8 x cpu in 2 processes (data 1, fsdp 8," in shared[1][0][0].out


@pytest.mark.long
def test_losses_and_counts_are_those_of_one_process(alone, shared):
    expected, found = read_rows(alone[0]), read_rows(shared[0])
    assert [row["step"] for row in found] == [*range(1, STEPS + 1)]
    assert len(expected) == STEPS
    for one, other in zip(expected, found, strict=True):
        assert one.keys() == other.keys()
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert other["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-3)
        for name in one.keys() - {"loss", "contrastive/loss", "gradient_norm"}:
            if name.startswith("retrieval/"):
                # Two nearly equal distances may change their order: one query of 24.
                assert other[name] == pytest.approx(one[name], abs=0.05), name
            elif name != "timing":
                assert other[name] == one[name], name
    counts = {
        name: n for name, n in found[-1].items() if name.startswith("bad_samples/")
    }
    assert sum(counts.values()) >= 3 * len(BROKEN)
    assert found[-1]["samples"] == STEPS * 16
    losses = [row["loss"] for row in found]
    assert max(losses) - min(losses) > 0.05  # it learns, and so could differ


@pytest.mark.long
def test_checkpoints_of_all_numbers_of_processes_hold_the_same_counts(alone, shared):
    for step in (4, 8, 12):
        one, other = (
            json.loads(
                (run / f"checkpoints/{step}/description/progress.json").read_text()
            )
            for run in (alone[0], shared[0])
        )
        assert one == other
        assert one["step"] == step and sum(one["bad"].values()) > 0


@pytest.mark.long
def test_two_processes_evaluate_as_one(program, shared, tmp_path):
    flags = (f"--checkpoint={shared[0]}",)
    first = run_two(program, "evaluate", *flags, f"--output={tmp_path / 'two'}")
    program("evaluate", *flags, f"--output={tmp_path / 'one'}", devices=8).check()
    for found in first:
        found.check()
    assert lines(first[1].out) == [] and "step 12" in first[0].out
    results = [
        {path.name: path.read_text() for path in (tmp_path / n).glob("*.json")}
        for n in ("two", "one")
    ]
    assert results[0] == results[1] and len(results[0]) == 1
    names = {path.name for path in (tmp_path / "two").iterdir()}
    assert names == {*results[0], "results.jsonl", "report.html"}
    history = (tmp_path / "two" / "results.jsonl").read_text()
    assert len(history.splitlines()) == 1  # process 0 writes


def test_an_error_of_all_processes_is_said_once(program, tmp_path):
    flags = (f"--config={TINY}", "--config.batch_size=15", f"--workdir={tmp_path}")
    first, second = run_two(program, "train", *flags, devices=1)
    assert (first.code, second.code) == (78, 78)
    assert first.err.startswith("error: batch_size 15 cannot be split")
    assert (second.out, second.err) == ("", "")


def test_processes_with_other_settings_are_refused(program, tmp_path):
    flags = (f"--config={TINY}", f"--workdir={tmp_path}")
    only = ("", "--config.seed=1")
    first, second = run_two(program, "train", *flags, devices=1, only=only)
    assert (first.code, second.code) == (78, 78)
    assert first.err.startswith("error: process 1 has another config than process 0;")
    assert second.err == ""


@pytest.mark.long
def test_an_error_of_one_process_is_said_by_it_and_ends_all(program, tmp_path):
    flags = (f"--config={TINY}", f"--workdir={tmp_path}")
    only = ("", "--config.ema_decay=2.0")
    first, second = run_two(program, "train", *flags, devices=1, only=only)
    assert second.code == 78
    assert second.err.startswith("[process 1] error: ema_decay is 2.0; expected")
    assert first.code not in (0, 78)  # jax ends it: it has lost process 1


@pytest.mark.long
@pytest.mark.fault("F4")
def test_a_process_that_is_killed_ends_the_other_and_a_restart_goes_on(
    program, tmp_path
):
    workdir = tmp_path / "run"
    flags = ("train", f"--config={TINY}", f"--workdir={workdir}")

    def legs(stop: int, **together) -> list:
        more = ("--config.steps=100000", f"--config.stop_after={stop}")
        started = start_together(program, *flags, *more, devices=1, **together)
        return [program.wait(process).check() for process in started]

    legs(5)
    # Without saves: a process lost in the middle of one is noticed by its heartbeat.
    never = ("--config.steps=100000", "--config.checkpoint.every=100000")
    first, second = start_together(program, *flags, *never, devices=1)
    wait_until(lambda: read_rows(workdir)[-1]["step"] >= 9, first, every=0.1)
    program.kill(second)
    killed = time.monotonic()
    found = program.wait(first)
    assert time.monotonic() - killed < 10 + 5 + 15  # heartbeat, and time to end
    assert found.code == 1
    assert found.err.rstrip().splitlines()[-1] == f"error: {LOST_ANOTHER}"
    with pytest.raises(ProcessLookupError):  # nothing of it is left
        os.killpg(first.pid, 0)
    again, _ = legs(10)
    assert "going on from step 5 of" in again.out
    steps = [row["step"] for row in read_rows(workdir)]
    assert steps == [3, 5, 6, 9, 10]

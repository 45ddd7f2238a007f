"""kill -9 at any moment, the same command again: nothing differs, nothing is lost."""

import time

import jax
import numpy as np
import pytest

from tests.end_to_end.same_run import (
    STEPS,
    TINY,
    assert_same_run,
    checkpoint,
    is_saving,
    last_row,
    rows,
)
from tests.processes import wait_until
from vlp_jax.checkpoint.steps import committed_steps


def kill_at(program, process, workdir, step: int, moment: str, delay: float) -> None:
    """Kills once training has passed `step`: at a row, in a save, or a bit later."""
    reached = {
        "row": lambda: last_row(workdir) >= step,
        "save": lambda: is_saving(workdir, step),
        "later": lambda: last_row(workdir) >= step,
    }[moment]
    wait_until(reached, process, every=0.001)
    time.sleep({"row": 0, "save": delay / 20, "later": delay}[moment])
    assert process.poll() is None, "the run ended before it could be killed"
    program.kill(process)


def train_with_kills(
    program, workdir, seed: int, kills: int, moments, recipe=TINY
) -> None:
    """Kill number k comes in the k-th part of the run, at a drawn step and moment."""
    rng = np.random.default_rng(seed)
    command = ("train", recipe, f"--workdir={workdir}")
    parts = np.linspace(0, STEPS - 8, kills + 1).astype(int)
    for low, high in zip(parts[:-1], parts[1:], strict=True):
        step, moment = int(rng.integers(low + 1, high + 1)), str(rng.choice(moments))
        print(f"seed {seed}: kill at step {step}, {moment}")
        process = program.start(*command)
        kill_at(program, process, workdir, step, moment, rng.uniform(0, 0.2))
    program(*command).check()


@pytest.mark.fault("F1")
@pytest.mark.fault("F17")
def test_killed_in_a_save_and_started_again_it_ends_the_same(
    program, tiny_run, tmp_path
):
    train_with_kills(program, tmp_path, seed=0, kills=1, moments=["save"])
    assert_same_run(tmp_path, tiny_run.workdir)


@pytest.mark.long
@pytest.mark.fault("F1")
@pytest.mark.fault("F17")
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_killed_three_times_it_ends_the_same(program, tiny_run, tmp_path, seed):
    moments = ["row", "save", "later"]
    train_with_kills(program, tmp_path, seed, kills=3, moments=moments)
    assert_same_run(tmp_path, tiny_run.workdir)


@pytest.mark.long
@pytest.mark.fault("F1")
def test_queue_and_momentum_come_back_bit_for_bit(program, tmp_path):
    recipe = "--config=tests/end_to_end/tiny_albef.py"
    reference, killed = tmp_path / "reference", tmp_path / "killed"
    program("train", recipe, f"--workdir={reference}").check()
    moments = ["row", "save"]
    train_with_kills(program, killed, seed=6, kills=2, moments=moments, recipe=recipe)
    assert_same_run(killed, reference, ("model", "ema", "momentum", "training"))
    queue = checkpoint(killed)["training/objectives/momentum_contrast/ids"]
    assert (queue >= 0).all()  # it has been filled, and gone around
    assert rows(reference)[-1]["judging/loss"] > 0  # of a stream beside the pairs


def test_a_finished_run_is_left_as_it_is(program, tiny_run):
    before = rows(tiny_run.workdir), committed_steps(tiny_run.workdir)
    workdir = f"--workdir={tiny_run.workdir}"
    found = program("train", TINY, workdir, "--config.log_every=7").check()
    assert "already finished" in found.out
    assert "changed   log_every: 3 -> 7" in found.out
    assert (rows(tiny_run.workdir), committed_steps(tiny_run.workdir)) == before


def test_what_the_reference_run_holds(tiny_run):
    """So that the comparisons above compare something."""
    found = checkpoint(tiny_run.workdir)
    differs = [
        p
        for p in found
        if p.startswith("ema/")
        and not np.array_equal(
            found[p], found["model/params/" + p.removeprefix("ema/")]
        )
    ]
    assert len(differs) > 20
    moments = [p for p in found if "/mu/" in p or "/nu/" in p]
    assert len(moments) == 2 * len([p for p in found if p.startswith("ema/")])
    assert [row["step"] for row in rows(tiny_run.workdir)] == sorted(
        {*range(3, STEPS, 3), *range(10, STEPS, 10), STEPS}
    )
    assert jax.device_count() == 8

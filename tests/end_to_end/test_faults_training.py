"""What a run does when it is told to end, when it hangs, and when its numbers break."""

import json
import os
import signal
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
from tests.end_to_end.several import explicit, free_port, start_together
from tests.processes import wait_until
from vlp_jax.checkpoint.steps import committed_steps
from vlp_jax.training.signals import NOTHING_TO_SAVE

POISONED = "--config=tests/end_to_end/poisoned.py"
SLEEPY = "--config=tests/end_to_end/sleepy.py"
POISON = "--config.objectives.poison.steps"


def written(program, process) -> str:
    """What a process has printed so far."""
    return (program.folder / f"{process.number}.out").read_text()


# ---- told to end


@pytest.mark.fault("F3")
@pytest.mark.parametrize(
    "moment", ["row", pytest.param("save", marks=pytest.mark.long)]
)
def test_sigterm_saves_and_the_run_ends_the_same(program, tiny_run, tmp_path, moment):
    command = ("train", TINY, f"--workdir={tmp_path}")
    process = program.start(*command)
    reached = {
        "row": lambda: last_row(tmp_path) >= 12,
        "save": lambda: is_saving(tmp_path, 10),
    }[moment]
    wait_until(reached, process)
    process.terminate()
    found = program.wait(process)
    assert (found.code, found.err) == (75, "")
    step = committed_steps(tmp_path)[-1]
    assert 10 <= step < 40
    last = found.out.splitlines()[-1]
    assert last == f"Told to end: step {step} is saved; the same command goes on there."
    again = program(*command).check()
    assert f"going on from step {step} of" in again.out
    assert_same_run(tmp_path, tiny_run.workdir)


@pytest.mark.fault("F3")
def test_sigterm_before_the_first_step_ends_it_at_once(program, tmp_path):
    process = program.start("train", TINY, f"--workdir={tmp_path / 'run'}")
    wait_until(lambda: "vlp_jax.train  tiny" in written(program, process), process)
    process.terminate()
    found = program.wait(process)
    assert (found.code, found.err) == (75, "")
    assert found.out.endswith(NOTHING_TO_SAVE.decode())
    assert not committed_steps(tmp_path / "run")


@pytest.mark.long
@pytest.mark.fault("F3")
def test_a_second_sigterm_does_not_wait(program, tmp_path):
    """Not even for a batch that never comes."""
    flags = (SLEEPY, f"--workdir={tmp_path}", "--config.watchdog=0")
    process = program.start("train", *flags)
    wait_until(lambda: committed_steps(tmp_path), process)
    count = 0
    while count != (count := last_row(tmp_path)):
        time.sleep(1)  # until it waits
    process.terminate()
    with pytest.raises(Exception, match="timed out"):
        process.wait(2)
    process.terminate()
    assert program.wait(process).code == -signal.SIGTERM


@pytest.mark.long
@pytest.mark.fault("F2")
def test_sigterm_to_one_of_two_saves_the_same_step_of_both(program, tmp_path):
    """And a run of two that is told to end is the run of two that is not."""
    flags = ("train", TINY, "--config.evaluation.every=0")
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    for found in start_together(program, *flags, f"--workdir={whole}", devices=1):
        program.wait(found).check()
    both = start_together(program, *flags, f"--workdir={ended}", devices=1)
    wait_until(lambda: last_row(ended) >= 3, *both)
    both[1].terminate()
    first, second = (program.wait(process) for process in both)
    assert (first.code, second.code) == (75, 75)
    step = committed_steps(ended)[-1]
    assert f"Told to end: step {step} is saved" in first.out
    assert "Told to end" not in second.out
    for found in start_together(program, *flags, f"--workdir={ended}", devices=1):
        program.wait(found).check()
    assert_same_run(ended, whole)


def children(process) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()]


@pytest.mark.long
@pytest.mark.fault("F3")
def test_the_launcher_passes_it_on_and_starts_what_was_preempted(
    program, tiny_run, tmp_path
):
    """Sent to the launcher it ends both; sent to the run, the run goes on."""
    words = ("--", "python", "-m", "vlp_jax.train", TINY, f"--workdir={tmp_path}")
    command = ("launch", "--spec=launch/local.py", "--submit", *words)
    launcher = program.start(*command)
    wait_until(lambda: last_row(tmp_path) >= 6, launcher)
    launcher.terminate()
    found = program.wait(launcher)
    assert found.code == 75 and "Told to end: step" in found.out
    step = committed_steps(tmp_path)[-1]
    launcher = program.start(*command)
    wait_until(lambda: last_row(tmp_path) >= step + 6, launcher)
    (run,) = children(launcher)
    os.kill(run, signal.SIGTERM)
    found = program.wait(launcher).check()
    assert "ended with exit code 75 (preempted and saved): starting" in found.err
    assert_same_run(tmp_path, tiny_run.workdir)


# ---- numbers that are not finite


@pytest.mark.long
@pytest.mark.fault("F9")
def test_one_step_that_is_not_finite_is_skipped_and_counted(program, tmp_path):
    flags = (POISONED, f"--workdir={tmp_path}", f"{POISON}=(7,)")
    flags += ("--config.stop_after=8", "--config.log_every=1")
    flags += ("--config.checkpoint.every=1", "--config.checkpoint.keep=9")
    found = program("train", *flags).check()
    assert "step 7: the loss is nan: update skipped" in found.out
    assert "step 7 is not saved: the loss is nan" in found.out
    assert committed_steps(tmp_path) == [1, 2, 3, 4, 5, 6, 8]
    *good, bad, last = rows(tmp_path)
    assert [row.get("skipped_updates", 0) for row in good] == [0] * 6
    assert bad["skipped_updates"] == last["skipped_updates"] == 1
    assert bad["loss"] is None and bad["gradient_norm"] is None and last["loss"] > 0
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
    last = checkpoint(tmp_path, 8)
    counts = {path: int(x) for path, x in last.items() if path.endswith("/count")}
    assert list(counts.values()) == [7]  # updates
    assert (int(last["training/step"]), int(last["training/nonfinite"])) == (8, 0)


@pytest.mark.long
@pytest.mark.fault("F10")
def test_a_rollback_is_the_same_in_a_run_that_was_killed(program, tmp_path):
    flags = ("train", POISONED, f"{POISON}=(11, 12, 13, 31)")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    found = program(*flags, f"--workdir={whole}").check()
    said = "step 14: going on with the weights of step 10 (rollback 1 of 2)"
    assert said in found.out
    assert rows(whole)[-1]["skipped_updates"] == 5  # and the step beside the third
    process = program.start(*flags, f"--workdir={killed}")
    wait_until(lambda: last_row(killed) >= 12, process)
    program.kill(process)
    again = program(*flags, f"--workdir={killed}").check()
    assert "going on from step" in again.out
    assert_same_run(killed, whole)


@pytest.mark.long
@pytest.mark.fault("F10")
def test_rollbacks_are_bounded_and_the_end_is_explained(program, tmp_path):
    """On sharded parameters; the first rollback leads to the beginning."""
    bad = (*range(1, 4), *range(12, 41))
    flags = (POISONED, f"--workdir={tmp_path}", f"{POISON}={bad}")
    found = program("train", *flags, "--config.mesh.fsdp=2", devices=2)
    assert found.code == 1 and "Traceback" not in found.err
    assert found.err.startswith(
        "error: the loss is nan at step 18, after 3 such steps in a row and 2 rollbacks"
    )
    assert "learning_rate.peak" in found.err and len(found.err.splitlines()) == 1
    moves = [x for x in found.out.splitlines() if "rollback" in x]
    assert moves == [
        "step 4: going on with the weights of the beginning (rollback 1 of 2)",
        "step 15: going on with the weights of step 10 (rollback 2 of 2)",
    ]
    report = json.loads((tmp_path / "nonfinite.json").read_text())
    assert report["steps"] == [16, 18]
    assert report["first_of_them"]["positions"] == {"pairs": [240, 255]}
    assert len(set(report["first_of_them"]["sample_ids"]["pairs"])) == 16
    assert report["last_finite"]["step"] == 11
    assert committed_steps(tmp_path) == [5, 10, 15]
    # Step 11 was good: what step 15 holds is really what was saved after step 10.
    before, after = checkpoint(tmp_path, 10), checkpoint(tmp_path, 15)
    kept = [p for p in before if p.startswith(("model/", "ema/", "training/optim"))]
    assert len(kept) > 100
    assert all(before[path].tobytes() == after[path].tobytes() for path in kept)


@pytest.mark.long
@pytest.mark.fault("F10")
def test_two_processes_roll_back_together(program, tmp_path):
    bad = (*range(1, 4), *range(12, 15), 20)
    flags = ("train", POISONED, f"{POISON}={bad}", "--config.mesh.fsdp=2")
    one, two = tmp_path / "one", tmp_path / "two"
    expected = program(*flags, f"--workdir={one}", devices=2).check()
    both = start_together(program, *flags, f"--workdir={two}", devices=1)
    first, second = (program.wait(process).check() for process in both)
    for text in ("update skipped", "rollback"):
        lines = [
            [x for x in found.out.splitlines() if text in x]
            for found in (first, expected, second)
        ]
        assert lines[0] == lines[1] and lines[0] and not lines[2]
    for row, other in zip(rows(one), rows(two), strict=True):
        assert row.keys() == other.keys()
        loss, expected_loss = other["loss"], row["loss"]
        assert (loss is None) == (expected_loss is None)
        assert loss is None or loss == pytest.approx(expected_loss, rel=1e-5)


# ---- hangs


@pytest.mark.long
@pytest.mark.fault("F14")
def test_a_run_whose_data_never_come_says_where_it_hangs(program, tmp_path):
    flags = (SLEEPY, f"--workdir={tmp_path}", "--config.watchdog=8")
    found = program("train", *flags)
    assert found.code == 76
    step = last_row(tmp_path)
    assert 5 <= step <= 31  # 500 reads, less those of the tokenizer
    said = f"error: hangs: waiting for the batch of step {step + 1} for more than 8 s."
    assert found.err.startswith(said)
    for text in (found.err, (tmp_path / "hang-process0.txt").read_text()):
        assert "in __getitem__" in text and "sleepy.py" in text
        assert "in fetch" in text  # the main thread
    assert committed_steps(tmp_path)[-1] == step // 5 * 5


@pytest.mark.long
@pytest.mark.fault("F14")
def test_where_one_process_hangs_all_say_so_and_end(program, tmp_path):
    flags = ("train", SLEEPY, f"--workdir={tmp_path}", "--config.watchdog=10")
    both = start_together(program, *flags, "--config.data.train.sleeper=1", devices=1)
    first, second = (program.wait(process) for process in both)
    assert (first.code, second.code) == (76, 76)
    assert "sleepy.py" not in (tmp_path / "hang-process0.txt").read_text()
    assert "sleepy.py" in (tmp_path / "hang-process1.txt").read_text()
    assert "error: hangs: " in first.err
    assert "[process 1] error: hangs: waiting for the batch of step" in second.err


@pytest.mark.long
@pytest.mark.fault("F14")
def test_a_process_that_stands_still_ends_the_other(program, tmp_path):
    flags = (TINY, f"--workdir={tmp_path}", "--config.watchdog=10")
    flags += ("--config.steps=100000", "--config.evaluation.every=0")
    port = free_port()
    first, second = (
        program.start("train", *flags, devices=1, **explicit(index, port))
        for index in range(2)
    )
    wait_until(lambda: last_row(tmp_path) >= 12, first, second)
    second.send_signal(signal.SIGSTOP)
    found = program.wait(first)
    assert found.code == 76 and "error: hangs: " in found.err
    assert (tmp_path / "hang-process0.txt").exists()
    program.kill(second)

"""Evaluation beside a real training: every kept step once, killed and started again."""

import json

import pytest

from tests.end_to_end.conftest import TINY
from tests.end_to_end.outcomes import assert_explained
from tests.processes import wait_until


def rows(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.fault("F18")
def test_a_training_is_followed_to_its_end(program, tmp_path):
    """The follower comes first, and is killed after its first result."""
    workdir, output = tmp_path / "run", tmp_path / "eval"
    flags = "--follow", f"--checkpoint={workdir}", f"--output={output}"
    follower = program.start("evaluate", *flags)
    training = program.start("train", f"--config={TINY}", f"--workdir={workdir}")
    wait_until((output / "results.jsonl").exists, follower, every=0.05)
    program.kill(follower)
    begun = rows(output / "results.jsonl")

    found = program.wait(program.start("evaluate", *flags)).check()
    program.wait(training).check()
    assert "All steps are evaluated. Next: open" in found.out and found.err == ""
    results = rows(output / "results.jsonl")
    steps = [row["step"] for row in results]
    assert results[: len(begun)] == begun and len(set(steps)) == len(steps)
    assert steps == sorted(steps) and steps[-1] == 40
    kept = {int(path.name) for path in (workdir / "checkpoints").iterdir()}
    assert kept == {30, 35, 40} <= set(steps) <= set(range(5, 41, 5))

    logged = {row["step"]: row for row in rows(workdir / "metrics.jsonl")}
    for row in results:
        for name, value in row["metrics"].items():
            if f"retrieval/{name}" in logged.get(row["step"], {}):
                assert value == logged[row["step"]][f"retrieval/{name}"]
    again = program("evaluate", *flags).check()
    assert "running" not in again.out and rows(output / "results.jsonl") == results


def test_a_step_cannot_be_followed(program, tmp_path):
    (tmp_path / "checkpoints" / "5").mkdir(parents=True)
    found = program(
        "evaluate",
        "--follow",
        f"--checkpoint={tmp_path / 'checkpoints' / '5'}",
        f"--output={tmp_path / 'out'}",
    )
    assert_explained(found, "--follow waits for the steps of a run", "its workdir")

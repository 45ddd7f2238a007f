"""Runs that read pairs and questions: said, resumed and shared as those of pairs."""

import json

import pytest

from tests.end_to_end.same_run import assert_same_arrays, files, rows
from tests.end_to_end.several import run_two
from vlp_jax.training.sample_log import SAMPLES_FILE

ASKING = "--config=tests/end_to_end/asking.py"


@pytest.fixture(scope="module")
def asking_run(program, tmp_path_factory):
    """A whole run: (its folder, what it said)."""
    workdir = tmp_path_factory.mktemp("asking") / "run"
    return workdir, program("train", ASKING, f"--workdir={workdir}").check().out


def samples(workdir) -> list[dict]:
    lines = (workdir / SAMPLES_FILE).read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_what_a_run_with_questions_says_and_leaves(asking_run):
    workdir, said = asking_run
    for line in (
        "  data      pairs: digit_scenes/train, 512 samples",
        "  data      questions: digit_scenes/train, 200 samples",
        "  answers   22 of them are classes",
        "  loss      agreement: of 8 questions",
        "  plan      40 steps of 16 pairs (1.2 passes over the data) and 8 questions "
        "(1.6 passes over the data), saved every 5",
    ):
        assert line in " ".join(said.split("\n")) or line in said, line
    assert len(json.loads(files(workdir)["answers.json"])) == 22
    last = rows(workdir)[-1]
    assert last["samples"] == 40 * 24 and last["agreement/loss"] > 0
    found = samples(workdir)
    assert [(len(x["pairs"]), len(x["questions"])) for x in found] == [(16, 8)] * 40
    asked = sum((x["questions"] for x in found), [])
    assert sorted(asked[:200]) == list(range(200))  # every sample once a pass


@pytest.mark.long
def test_in_legs_it_ends_the_same(program, asking_run, tmp_path):
    whole, _ = asking_run
    workdir = f"--workdir={tmp_path}"
    program("train", ASKING, workdir, "--config.stop_after=7").check()
    again = program("train", ASKING, workdir).check().out
    assert "going on from step 7" in again and "read for answers" not in again
    assert_same_arrays(tmp_path, whole)
    assert samples(tmp_path) == samples(whole)
    assert files(tmp_path)["answers.json"] == files(whole)["answers.json"]


@pytest.mark.long
def test_worker_processes_change_nothing(program, asking_run, tmp_path):
    flags = ("--config.data.workers=2", "--config.data.threads=1")
    program("train", ASKING, f"--workdir={tmp_path}", *flags).check()
    assert_same_arrays(tmp_path, asking_run[0])
    assert samples(tmp_path) == samples(asking_run[0])


@pytest.mark.long
def test_two_processes_read_what_one_reads(program, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    program("train", ASKING, f"--workdir={one}", devices=8).check()
    for found in run_two(program, "train", ASKING, f"--workdir={two}"):
        found.check()
    assert samples(two) == samples(one)
    assert files(two).keys() == files(one).keys()
    assert files(two)["answers.json"] == files(one)["answers.json"]
    for found, expected in zip(rows(two), rows(one), strict=True):
        assert found == pytest.approx(expected, rel=1e-4)

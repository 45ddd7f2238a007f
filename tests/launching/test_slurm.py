"""SLURM: what the batch script runs, and what it decides to do after it."""

import pytest

from tests.launching.jobs import HOSTILE, LINES, bash, check_refused, hostile, job


def test_hostile_words_slurm(stubs, tmp_path):
    stubs.add("srun")
    found, variables = hostile("slurm")
    assert bash(found.text, tmp_path / "cwd") == 0
    words = stubs.words("srun")
    assert words[words.index("program") :] == ["program", *HOSTILE, LINES]
    assert stubs.environment("srun").items() >= variables.items()


@pytest.mark.parametrize(
    ("code", "restarts", "again"),
    [(0, 0, False), (78, 0, False), (75, 9, True), (1, 2, True), (1, 3, False)],
)
def test_slurm_queues_again_what_is_worth_it(stubs, tmp_path, code, restarts, again):
    stubs.add("srun", "scontrol")
    stubs.will_exit("srun", code)
    settings = {"SLURM_JOB_ID": "41", "SLURM_RESTART_COUNT": str(restarts)}
    assert bash(job("slurm", retries=3).text, tmp_path / "cwd", **settings) == code
    assert stubs.called("scontrol") == again
    if again:
        assert stubs.words("scontrol") == ["requeue", "41"]


def test_slurm_tells_one_process_that_all_gpus_are_its_own(stubs, tmp_path):
    stubs.add("srun")
    for processes, ids in ((1, "0,1,2,3"), (4, None)):
        found = job("slurm", processes_per_node=processes, gpus_per_node=4)
        assert bash(found.text, tmp_path / "cwd") == 0
        assert stubs.environment("srun").get("JAX_LOCAL_DEVICE_IDS") == ids


def test_half_of_the_gpus_are_nobodys():
    check_refused("slurm", {"processes_per_node": 4}, "or 8 with one each")

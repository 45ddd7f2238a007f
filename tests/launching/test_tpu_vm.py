"""Cloud TPU VMs: the command arrives on every host as it was given."""

from tests.launching.jobs import HOSTILE, LINES, bash, hostile


def test_hostile_words_tpu_vm(stubs, tmp_path):
    stubs.add("gcloud", "program")
    found, variables = hostile("tpu_vm")
    assert bash(found.text, tmp_path / "cwd") == 0
    assert stubs.words("gcloud") == list(found.tool[1:])
    there = stubs.words("gcloud")[-1].removeprefix("--command=cd vlp_jax && ")
    assert bash(there, tmp_path / "cwd") == 0  # what ssh does with it
    assert stubs.words("program") == [*HOSTILE, LINES]
    assert stubs.environment("program").items() >= variables.items()

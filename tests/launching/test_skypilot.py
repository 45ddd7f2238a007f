"""SkyPilot: the task runs the command as given, on nodes that know each other."""

import yaml

from tests.launching.jobs import HOSTILE, LINES, bash, hostile


def test_hostile_words_skypilot(stubs, tmp_path):
    stubs.add("program")
    found, variables = hostile("skypilot")
    task = yaml.safe_load(found.text)
    assert task["envs"] == variables
    code = bash(
        task["run"],
        tmp_path / "cwd",
        SKYPILOT_NODE_IPS="10.0.0.1\n10.0.0.2",
        SKYPILOT_NUM_NODES="2",
        SKYPILOT_NODE_RANK="1",
    )
    assert code == 0
    assert stubs.words("program") == [*HOSTILE, LINES]
    seen = stubs.environment("program")
    assert seen["JAX_COORDINATOR_ADDRESS"] == "10.0.0.1:8476"
    assert (seen["JAX_NUM_PROCESSES"], seen["JAX_PROCESS_ID"]) == ("2", "1")

"""xpk: the command arrives in the container as it was given, on one line."""

from tests.launching.jobs import HOSTILE, bash, check_refused, hostile


def test_hostile_words_xpk(stubs, tmp_path):
    stubs.add("xpk", "program")
    found, variables = hostile("xpk", HOSTILE)
    assert bash(found.text, tmp_path / "cwd") == 0
    assert stubs.words("xpk") == list(found.tool[1:])
    there = stubs.words("xpk")[-1].removeprefix("--command=")
    assert bash(there.replace("$$", "$"), tmp_path / "cwd") == 0  # Kubernetes, bash
    assert stubs.words("program") == list(HOSTILE)
    assert stubs.environment("program").items() >= variables.items()


def test_a_line_break_is_refused():
    check_refused("xpk", {"command": "a 'b\nc'"}, "a line break")

"""Settings that cannot be launched are explained, whatever the engine."""

import pytest

from tests.launching.jobs import check_refused
from vlp_jax.launching.job import exports, on_lines, with_environment, words_of

REFUSED = {
    "a name for the shell": ("slurm", {"name": "a; rm -rf"}, "name is 'a; rm -rf'"),
    "a name of two lines": ("gke_gpu", {"name": "a\nb"}, "lower-case letters"),
    "a long name": ("xpk", {"name": "a" * 41}, "at most 40"),
    "an upper-case name": ("slurm", {"name": "Run"}, "lower-case letters"),
    "an option in disguise": ("slurm", {"partition": "-x"}, "partition is '-x'"),
    "a line in an option": ("slurm", {"account": "a\n#SBATCH -x"}, "account is"),
    "a value for the shell": ("tpu_vm", {"zone": "$(id)"}, "zone is"),
    "an image of two words": ("gke_tpu", {"image": "a b"}, "image is 'a b'"),
    "a quote that stays open": ("slurm", {"command": "a 'b"}, "close the quote"),
    "no command": ("slurm", {"command": " "}, "expected a program"),
    "no nodes": ("slurm", {"nodes": 0}, "nodes is 0; expected at least 1"),
    "negative retries": ("xpk", {"retries": -1}, "retries is -1"),
    "a variable of two words": (
        "slurm",
        {"environment": {"A B": "1"}},
        "environment has 'A B'",
    ),
    "another engine's setting": (
        "slurm",
        {"engine": "xpk"},
        "engine 'xpk' has no setting 'cpus_per_process'",
    ),
    "an unknown engine": ("slurm", {"engine": "slrum"}, "did you mean 'slurm'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_launched_is_explained(case):
    check_refused(*REFUSED[case])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("python -m x --a='b c'", ("python", "-m", "x", "--a=b c")),
        ("echo $HOME *", ("echo", "$HOME", "*")),
    ],
)
def test_quotes_are_resolved_and_nothing_else(line, words):
    assert words_of(line) == words


def test_variables_are_set_for_the_command_alone_or_for_all_that_follows():
    variables = {"A": "x y", "B": "$1"}
    assert with_environment({}, ("a", "b c")) == "a 'b c'"
    assert with_environment(variables, ("a",)) == "env 'A=x y' 'B=$1' a"
    assert exports(variables) == ["export A='x y'", "export B='$1'"]


def test_a_long_command_stands_on_lines_of_its_own():
    assert on_lines(("a", "b", "c d"), together=2) == "a b \\\n    'c d'\n"

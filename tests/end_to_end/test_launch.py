"""python -m vlp_jax.launch as a person types it; the engines' tools are stand-ins."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launching.stubs import Stubs
from vlp_jax.cli import CONFIG_WRONG

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "launching" / "golden"


@pytest.fixture
def stubs(tmp_path, monkeypatch) -> Stubs:
    return Stubs.first_on_path(tmp_path / "stubs", monkeypatch)


def launch(*flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "vlp_jax.launch", *flags]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_print_shows_the_file_and_nothing_else(stubs):
    stubs.add("sbatch")
    found = launch("--spec=launch/slurm.py", "--print")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == (GOLDEN / "slurm.sh").read_text()
    assert not stubs.called("sbatch")


# way: (flags, tool, its words before the file, what the file says)
SUBMIT = {
    "slurm": (["--spec.nodes=4"], "sbatch", [], "#SBATCH --nodes=4"),
    "gke_tpu": (
        ["--spec.image=i", "--spec.volume_claim=c"],
        "kubectl",
        ["apply", "-f"],
        "gke-tpu-topology: 16x16",
    ),
    "gke_gpu": (
        ["--spec.image=i", "--spec.volume_claim=c"],
        "kubectl",
        ["apply", "-f"],
        "nvidia.com/gpu: 8",
    ),
    "skypilot": ([], "sky", ["jobs", "launch", "--yes"], "accelerators: H100:8"),
}


@pytest.mark.parametrize("way", SUBMIT)
def test_submit_gives_the_file_to_the_tool(way, stubs):
    flags, tool, words, said = SUBMIT[way]
    stubs.add(tool)
    found = launch(f"--spec=launch/{way}.py", "--submit", *flags, "--", "echo", "a b")
    assert found.returncode == 0, found.stderr
    assert stubs.words(tool)[:-1] == words
    assert not Path(stubs.words(tool)[-1]).exists()  # it was there for the call only
    assert said in stubs.file(tool) and "a b" in stubs.file(tool)
    assert "Next: see how it is doing" in found.stdout


def test_submit_calls_xpk(stubs):
    stubs.add("xpk")
    flags = ("--spec.cluster=c", "--spec.image=i", "--spec.slices=2")
    found = launch("--spec=launch/xpk.py", "--submit", *flags, "--", "echo", "a b")
    assert found.returncode == 0, found.stderr
    words = stubs.words("xpk")
    assert words[:2] == ["workload", "create"]
    assert {"--cluster=c", "--docker-image=i", "--num-slices=2"} < set(words)
    assert "--command=echo 'a b'" in words


def test_submit_calls_gcloud_and_passes_its_exit_code_on(stubs):
    stubs.add("gcloud")
    stubs.will_exit("gcloud", 75)
    flags = ("--spec.tpu=mine", "--spec.zone=us-west4-a")
    found = launch("--spec=launch/tpu_vm.py", "--submit", *flags, "--", "echo", "hi")
    assert found.returncode == 75
    assert stubs.words("gcloud") == [
        *("compute", "tpus", "tpu-vm", "ssh", "mine"),
        *("--zone=us-west4-a", "--worker=all", "--command=cd vlp_jax && echo hi"),
    ]
    assert "Next" not in found.stdout


def test_submit_runs_it_here(tmp_path):
    """Flags of the command are not ours, and its exit code is."""
    flags = ("--spec.processes_per_node=2", f"--spec.logs={tmp_path}")
    log = tmp_path / "quickstart.1.log"
    script = """
        [ $JAX_PROCESS_ID = 0 ] && while [ ! -s "$1" ]; do sleep 0.02; done
        echo "$JAX_PROCESS_ID of $JAX_NUM_PROCESSES $2"
        [ $JAX_PROCESS_ID = 0 ] && exit 78 || sleep 60
    """
    command = ("sh", "-c", script, "-", str(log), "--help")
    found = launch("--spec=launch/local.py", "--submit", *flags, "--", *command)
    assert found.returncode == CONFIG_WRONG
    assert "0 of 2 --help\n" in found.stdout
    assert log.read_text() == "1 of 2 --help\n"


WRONG = {
    "neither print nor submit": (["--spec=launch/slurm.py"], "--print and --submit"),
    "no spec": (["--print"], "--spec=launch/local.py"),
    "a spec that is not there": (["--spec=launch/slrm.py", "--print"], "no such file"),
    "a recipe": (
        ["--spec=configs/quickstart.py", "--print"],
        "not meant for this program; see for example launch/local.py",
    ),
    "an unknown setting": (
        ["--spec=launch/slurm.py", "--print", "--spec.node=3"],
        "unknown setting 'node'; did you mean 'nodes'? (in --spec.node=3; --help_spec",
    ),
    "a setting of another engine": (
        ["--spec=launch/slurm.py", "--print", "--spec.slices=3"],
        "unknown setting 'slices'",
    ),
    "a value of another type": (
        ["--spec=launch/slurm.py", "--print", "--spec.nodes=many"],
        "--spec.nodes=many",
    ),
    "a setting before the spec": (["--spec.nodes=3", "--print"], "give --spec=FILE.py"),
    "a command without dashes": (
        ["--spec=launch/slurm.py", "--print", "python"],
        "unexpected argument 'python'",
    ),
    "a value that nobody can use": (
        ["--spec=launch/slurm.py", "--print", "--spec.partition=a b"],
        "partition is 'a b'",
    ),
    "what only the user knows": (
        ["--spec=launch/xpk.py", "--submit"],
        "cluster is not given; say --spec.cluster=...",
    ),
    "a tool that is not installed": (
        ["--spec=launch/slurm.py", "--submit"],
        "'sbatch' is not installed here (it is on the login nodes of a SLURM cluster)",
    ),
    "a program that is not installed": (
        ["--spec=launch/local.py", "--submit", "--", "no-such-program"],
        "cannot start 'no-such-program': No such file or directory",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_a_line(case):
    flags, said = WRONG[case]
    found = launch(*flags)
    assert found.returncode == CONFIG_WRONG, found
    assert found.stderr.startswith("error: ")
    assert said in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_help_says_what_there_is():
    found = launch("--help")
    assert found.returncode == 0
    for said in ("--print", "--submit", "--spec", "--spec.path.to.key=value"):
        assert said in found.stdout
    found = launch("--spec=launch/xpk.py", "--help_spec")
    assert found.returncode == 0, found.stderr
    assert "--spec.tpu_type=v5litepod-256\n" in found.stdout
    assert "--spec.zone  (not given)\n" in found.stdout
    assert "--spec.cpu_devices" not in found.stdout
    found = launch("--spec=launch/local.py", "--help_spec")
    assert "--spec.retries=3  (default)\n" in found.stdout

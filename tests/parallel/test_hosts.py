"""How processes find each other, and what one alone agrees on."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jax
import pytest

from vlp_jax.core import logs
from vlp_jax.core.errors import ConfigError
from vlp_jax.launching.local import free_port
from vlp_jax.parallel import hosts

ROOT = Path(__file__).parents[2]
TIME_LIMIT = 300  # seconds; far above what it takes
EXPLICIT = {
    "JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234",
    "JAX_NUM_PROCESSES": "4",
    "JAX_PROCESS_ID": "3",
}
SLURM = {
    "SLURM_JOB_ID": "17",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
}
MPI = {
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
    "OMPI_COMM_WORLD_SIZE": "8",
    "OMPI_COMM_WORLD_RANK": "7",
    "OMPI_COMM_WORLD_LOCAL_RANK": "3",
}
TPU_VM = {"TPU_ML_PLATFORM": "JAX"}
ALL_DEVICES = {"local_device_ids": []}


# ---- which environment is what


@pytest.mark.parametrize(
    "environment",
    [
        {},
        EXPLICIT | {"JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"},
        SLURM | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
        {"SLURM_JOB_ID": "17", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"},  # sbatch
        MPI | {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
        {"TPU_WORKER_HOSTNAMES": "localhost"} | TPU_VM,
        TPU_VM | {"TPU_SKIP_MDS_QUERY": "1"},
        TPU_VM | {"JAX_PLATFORMS": "cpu"},
        {"TPU_SKIP_MDS_QUERY": "1"},  # what importing jax sets without a TPU
    ],
    ids=str,
)
def test_one_process_alone_joins_nobody(environment):
    assert hosts.arguments(environment) is None


def test_explicit_addresses_come_before_everything_else():
    for others in ({}, SLURM, MPI, TPU_VM):
        assert hosts.arguments(EXPLICIT | others) == {
            "coordinator_address": "10.0.0.1:1234",
            "num_processes": 4,
            "process_id": 3,
            "cluster_detection_method": "deactivate",
        }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # jax by itself gives each process the one GPU of its local rank, so:
        ({}, {}),  # right for one process per GPU
        ({"SLURM_NNODES": "1"}, {}),
        ({"SLURM_STEP_NUM_NODES": "2"}, ALL_DEVICES),  # one process per node
        ({"SLURM_NNODES": "2"}, ALL_DEVICES),
        ({"SLURM_STEP_NUM_NODES": "1", "SLURM_NNODES": "2"}, {}),  # a smaller step
        ({"CUDA_VISIBLE_DEVICES": "0"}, ALL_DEVICES),  # srun has hidden the others
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, {}),
        ({"SLURM_NNODES": "2", "JAX_LOCAL_DEVICE_IDS": "0,1"}, {}),  # jax reads it
    ],
)
def test_both_process_models_of_slurm(changes, expected):
    assert hosts.arguments(SLURM | changes) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (MPI, {}),
        (MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, ALL_DEVICES),
        ({"TPU_WORKER_HOSTNAMES": "a,b,c,d"}, {}),
        ({"TPU_PROCESS_ADDRESSES": "a:1,b:1"}, {}),
        # Two slices of one host each.
        (
            {"TPU_WORKER_HOSTNAMES": "a", "MEGASCALE_COORDINATOR_ADDRESS": "b:8080"},
            {},
        ),
        (TPU_VM, {}),
        (TPU_VM | {"JAX_PLATFORMS": "tpu,cpu"}, {}),
    ],
    ids=str,
)
def test_jax_asks_the_platform_itself(environment, expected):
    assert hosts.arguments(environment) == expected


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            {"JAX_COORDINATOR_ADDRESS": "a:1"},
            "JAX_COORDINATOR_ADDRESS without JAX_NUM_PROCESSES, JAX_PROCESS_ID: ",
        ),
        (
            EXPLICIT | {"JAX_COORDINATOR_ADDRESS": ""},
            "JAX_NUM_PROCESSES, JAX_PROCESS_ID without JAX_COORDINATOR_ADDRESS: ",
        ),
        (
            EXPLICIT | {"JAX_COORDINATOR_ADDRESS": "node1"},
            "JAX_COORDINATOR_ADDRESS is 'node1'; expected host:port",
        ),
        (
            EXPLICIT | {"JAX_PROCESS_ID": "4"},
            "JAX_PROCESS_ID is '4'; expected a whole number, 0 to 3",
        ),
        (
            EXPLICIT | {"JAX_NUM_PROCESSES": "two"},
            "JAX_NUM_PROCESSES is 'two'; expected a whole number, 1 or more",
        ),
        (SLURM | {"SLURM_NTASKS": "x"}, "SLURM_NTASKS is 'x'; expected a whole"),
    ],
)
def test_variables_that_make_no_sense_are_explained(environment, said):
    with pytest.raises(ConfigError) as caught:
        hosts.arguments(environment)
    assert str(caught.value).startswith(said)


# ---- one process alone


def test_alone_every_agreement_is_ones_own_view():
    assert hosts.sum_counts(Counter(a=2, b=0), ("b", "a")) == {"a": 2}
    hosts.check_same({"config": b"x"})
    assert hosts.label() == "" and not hosts.together()
    assert not hosts.lost(RuntimeError("Gloo"))


def test_a_lost_process_is_told_from_other_failures():
    gone = jax.errors.JaxRuntimeError("UNKNOWN: Gloo all-reduce failed: closed by peer")
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
    assert hosts.lost(gone) and not hosts.lost(full)


def test_a_process_that_is_silent_neither_talks_nor_writes(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(logs.console, "quiet", False)
    logs.silence()
    logs.say("hello")
    report = logs.ProgressReport(10, 0)
    report.line("text", "plain")
    report.advance(1)
    report.close()
    writer = logs.MetricsWriter(tmp_path / "run", 0)
    writer.write(1, {"loss": 1.0}, {})
    writer.close()
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "run").exists()


# ---- the program


def program_output(*variables: tuple[str, str]) -> tuple[int, str]:
    found = subprocess.run(
        [sys.executable, "-m", "vlp_jax.train", "--config=configs/quickstart.py"]
        + ["--workdir=/nowhere"],
        cwd=ROOT,
        env=os.environ | dict(variables),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
    )
    return found.returncode, found.stdout + found.stderr


def test_incomplete_variables_end_the_program_with_78():
    code, said = program_output(("JAX_COORDINATOR_ADDRESS", "127.0.0.1:1"))
    assert code == 78
    assert said.startswith("error: JAX_COORDINATOR_ADDRESS without JAX_NUM_PROCESSES")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("index", [0, 1])
def test_processes_that_do_not_come_are_waited_for_so_long(index):
    address = f"127.0.0.1:{free_port()}"
    code, said = program_output(
        ("JAX_COORDINATOR_ADDRESS", address),
        ("JAX_NUM_PROCESSES", "2"),
        ("JAX_PROCESS_ID", str(index)),
        ("VLP_JOIN_TIMEOUT", "2"),
    )
    assert code == 1
    expected = [
        f"error: not all of the 2 processes have reached process 0 at {address} after",
        f"[process 1] error: process 0 cannot be reached at {address} after 2 s",
    ]
    assert said.startswith(expected[index]) and len(said.splitlines()) == 1
    assert "VLP_JOIN_TIMEOUT" in said

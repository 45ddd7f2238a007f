"""Two processes of four devices each are one run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vlp_jax.launching.local import free_port

ROOT = Path(__file__).parents[2]
TIME_LIMIT = 300  # seconds; far above what it takes
WORKER = Path(__file__).with_name("host_worker.py")


def run_two(folder: Path, variables, worker: Path = WORKER) -> list[dict]:
    """What the worker saw in each process."""
    started = []
    try:
        for index in range(2):
            environment = os.environ | {
                "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
                "PYTHONPATH": str(ROOT),
            }
            environment |= variables(index)
            out = folder / f"{index}.out"
            with out.open("w") as file:
                process = subprocess.Popen(
                    [sys.executable, str(worker)],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            started.append((process, out))
        codes = [process.wait(TIME_LIMIT) for process, _ in started]
    finally:
        for process, _ in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    said = [out.read_text() for _, out in started]
    assert codes == [0, 0], "\n".join(said)
    lines = [
        next(line for line in text.splitlines() if line.startswith("found "))
        for text in said
    ]
    return [json.loads(line.removeprefix("found ")) for line in lines]


@pytest.fixture(scope="module")
def explicit(tmp_path_factory) -> list[dict]:
    address = f"127.0.0.1:{free_port()}"
    return run_two(
        tmp_path_factory.mktemp("explicit"),
        lambda index: {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": "2",
            "JAX_PROCESS_ID": str(index),
        },
    )


def test_two_processes_are_one_run(explicit):
    for index, found in enumerate(explicit):
        assert (found["processes"], found["devices"]) == (2, 8)
        assert found["talks"] == (index == 0)
        assert found["label"] == ("[process 1] " if index else "")
        said = "said by process 0"
        assert found["decided"] == [["of process", 0], said, said]
        assert found["counts"] == {"a": 3, "b": 2}
        assert found["difference"].startswith(
            "process 1 has another data than process 0; start all processes with"
        )


def test_each_process_reads_what_its_devices_hold(explicit):
    everything = [*range(16)]
    halves = everything[:8], everything[8:]
    unusual = {
        "tensor over both": (everything, everything),
        "interleaved": ([0, 1, 4, 5, 10, 11, 14, 15], [2, 3, 6, 7, 8, 9, 12, 13]),
    }
    first, second = (found["batches"] for found in explicit)
    assert first.keys() == second.keys() and len(first) == 6
    for name in first:
        rows = first[name]["rows"], second[name]["rows"]
        assert rows == unusual.get(name, halves), name
        # However the rows lie, each is counted once.
        assert sorted(first[name]["counted"] + second[name]["counted"]) == everything
    sums = [sum((row + 1) * row**power for row in everything) for power in range(3)]
    for found in (*first.values(), *second.values()):
        assert found["own"] == found["whole"] == sums


@pytest.mark.parametrize("nodes", ["1", "2"])
def test_slurm_tasks_find_each_other(tmp_path, nodes):
    """Variables as srun sets them for two tasks, on one node or (so it says) on two."""
    port = str(free_port())
    variables = {
        "SLURM_JOB_ID": "17",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_NODES": nodes,
        "JAX_COORDINATOR_PORT": port,
    }

    def of_task(index):
        local = index if nodes == "1" else 0
        return variables | {"SLURM_PROCID": str(index), "SLURM_LOCALID": str(local)}

    found = run_two(tmp_path, of_task)
    assert [x["processes"] for x in found] == [2, 2]
    assert [x["talks"] for x in found] == [True, False]
    # One GPU for each task of a node, or all of them for the only one.
    assert [x["cuda"] for x in found] == (["0", "1"] if nodes == "1" else ["all"] * 2)

"""Several processes as one run: how they find each other, and what they agree on.

Each process drives the devices of its host (or one of them) and executes the same
program. docs/hosts.md describes every platform.
"""

import os
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax._src import distributed  # ids before a backend starts, and a few short texts
from jax.experimental import multihost_utils

from vlp_jax.core import logs
from vlp_jax.core.errors import ConfigError, RunError

EXPLICIT = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
# srun sets all of them for a task; sbatch and salloc alone do not.
SLURM = (
    "SLURM_JOB_ID",
    "SLURM_STEP_NODELIST",
    "SLURM_NTASKS",
    "SLURM_PROCID",
    "SLURM_LOCALID",
)
OPEN_MPI = (  # Open MPI 4; version 5 no longer sets the first
    "OMPI_MCA_orte_hnp_uri",
    "OMPI_COMM_WORLD_SIZE",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_LOCAL_RANK",
)
TIMEOUTS = {"VLP_JOIN_TIMEOUT": 300, "VLP_HEARTBEAT_TIMEOUT": 100}  # seconds
FAILED_TOGETHER = 10  # seconds within which an error of all processes shows on all
PATIENCE = 3600  # seconds that jax may wait longer than we do
# What jax says when another process has gone: CPU, GPU, and the service they share.
LOST = ("gloo", "nccl", "coordination")


def arguments(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """What jax.distributed.initialize needs to be told; None for one process alone.

    Raises ConfigError when variables are missing or make no sense.
    """
    if any(environment.get(name) for name in EXPLICIT):
        return _explicit(environment)
    if all(name in environment for name in SLURM):
        tasks = _number(environment, "SLURM_NTASKS", 1)
        return (
            _managed(environment, _one_per_node(environment, tasks))
            if tasks > 1
            else None
        )
    if all(name in environment for name in OPEN_MPI):
        alone = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") == "1"
        tasks = _number(environment, "OMPI_COMM_WORLD_SIZE", 1)
        return _managed(environment, alone) if tasks > 1 else None
    return {} if _on_tpu_pod(environment) else None


def _explicit(environment: Mapping[str, str]) -> dict[str, Any] | None:
    missing = [name for name in EXPLICIT if not environment.get(name)]
    if missing:
        raise ConfigError(
            f"{', '.join(n for n in EXPLICIT if n not in missing)} without "
            f"{', '.join(missing)}: several processes need all three (host:port of "
            "process 0, how many there are, and which one this is, from 0 on); one "
            "process alone needs none"
        )
    address = environment["JAX_COORDINATOR_ADDRESS"]
    if not address.rpartition(":")[0] or not address.rpartition(":")[2].isdigit():
        raise ConfigError(
            f"JAX_COORDINATOR_ADDRESS is {address!r}; expected host:port of process 0"
        )
    count = _number(environment, "JAX_NUM_PROCESSES", 1)
    index = _number(environment, "JAX_PROCESS_ID", 0, count - 1)
    if count == 1:
        return None
    return {
        "coordinator_address": address,
        "num_processes": count,
        "process_id": index,
        # Else the scheduler that started this process might restrict its devices.
        "cluster_detection_method": "deactivate",
    }


def _number(
    environment: Mapping[str, str], name: str, low: int, high: int | None = None
) -> int:
    given = environment[name]
    if given.isdecimal() and low <= int(given) <= (
        int(given) if high is None else high
    ):
        return int(given)
    expected = f"{low} to {high}" if high is not None else f"{low} or more"
    raise ConfigError(f"{name} is {given!r}; expected a whole number, {expected}")


def _one_per_node(environment: Mapping[str, str], tasks: int) -> bool:
    """Whether SLURM has put one task on every node: a step leaves no node empty."""
    names = ("SLURM_STEP_NUM_NODES", "SLURM_NNODES", "SLURM_JOB_NUM_NODES")
    nodes = next((environment[name] for name in names if name in environment), None)
    return nodes == str(tasks)


def _managed(environment: Mapping[str, str], alone: bool) -> dict[str, Any]:
    """jax asks the scheduler, and then gives each process the one GPU of its rank.

    That is wrong where a process has its host to itself, or where the scheduler has
    already hidden the GPUs of the others: an empty list restricts nothing.
    """
    given = environment.get("CUDA_VISIBLE_DEVICES", "")
    own = alone or (given != "" and "," not in given)
    chosen = "JAX_LOCAL_DEVICE_IDS" in environment
    return {"local_device_ids": []} if own and not chosen else {}


def _on_tpu_pod(environment: Mapping[str, str]) -> bool:
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms and "tpu" not in platforms:
        return False
    if environment.get("MEGASCALE_COORDINATOR_ADDRESS"):
        return True
    for name in ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES"):
        if name in environment:  # GKE, and TPU VMs whose list somebody set
            return "," in environment[name]
    # A Cloud TPU VM asks the metadata server who the others are. Importing jax marks
    # a machine with TPUs by the first of these, and one without by the second.
    return "TPU_ML_PLATFORM" in environment and "TPU_SKIP_MDS_QUERY" not in environment


def start() -> None:
    """Joins the other processes of the run; one process alone does nothing.

    Called before anything asks jax for its devices. Ends the process with code 1 when
    the others cannot be reached in VLP_JOIN_TIMEOUT seconds.
    """
    given = arguments(os.environ)
    if given is None:
        return
    seconds = {
        name: _number(os.environ, name, 1) if name in os.environ else default
        for name, default in TIMEOUTS.items()
    }
    limit = seconds["VLP_JOIN_TIMEOUT"]
    # Past its own limit jax aborts the process from C++, where nothing can be caught.
    timer = threading.Timer(limit, _give_up, [limit])
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            **given,
            initialization_timeout=limit + PATIENCE,
            heartbeat_timeout_seconds=seconds["VLP_HEARTBEAT_TIMEOUT"],
            # At the end process 0 still reads the last checkpoint for its manifest.
            shutdown_timeout_seconds=PATIENCE,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise RunError(f"the processes of this run cannot be joined: {error}") from None
    finally:
        timer.cancel()
    if distributed.global_state.process_id:
        logs.silence()


def _give_up(limit: int) -> None:
    """Runs in a thread while the main one waits in C++ for the other processes."""
    state = distributed.global_state
    address = state.coordinator_address or "the scheduler's first host"
    index = state.process_id
    if index:
        said = f"process 0 cannot be reached at {address}"
    else:
        said = (
            f"not all of the {state.num_processes} processes have reached process 0 at "
            f"{address}"
        )
    logs.errors.print(
        f"{label()}error: {said} after {limit} s. Do all of them run, with the same "
        "address, and does the network let them through? VLP_JOIN_TIMEOUT=SECONDS "
        "waits longer",
        markup=False,
    )
    leave(1)


def leave(code: int) -> None:
    """Ends this process at once, without waiting at the exit for the others."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def lost(error: Exception) -> bool:
    """Whether an error says that another process of the run has gone."""
    said = str(error).lower()
    return isinstance(error, jax.errors.JaxRuntimeError) and any(
        word in said for word in LOST
    )


def number() -> int:
    """Of this process, from 0 on; starts no backend."""
    return distributed.global_state.process_id


def together() -> bool:
    """Whether this process is one of several; starts no backend."""
    state = distributed.global_state
    return state.client is not None and state.num_processes > 1


def label() -> str:
    """'[process 3] ' in front of what a process other than the first says."""
    return f"[process {number()}] " if number() else ""


def exchange_failure(message: str) -> str | None:
    """Tells the others why this process ends; returns what ended process 0.

    Process 0 gets what ended process 1. None: that one has not failed, and so waits
    for this one in the next collective.
    """
    client, index = distributed.global_state.client, distributed.global_state.process_id
    try:
        client.key_value_set(f"vlp_jax/failure/{index}", message)
        witness = 0 if index else 1
        return client.blocking_key_value_get(
            f"vlp_jax/failure/{witness}", FAILED_TOGETHER * 1000
        )
    except jax.errors.JaxRuntimeError:  # no answer in time, or nobody there to ask
        return None


def agreed_maximum(number: int) -> int:
    """The largest of the processes' numbers, on all of them."""
    if not together():
        return number
    return int(multihost_utils.process_allgather(np.int32(number)).max())


def told_to_end(steps: int) -> bool:
    """Whether a SIGTERM to one of the processes makes all of them end after this step.

    All call it after every step with the number of steps since they started. (Counted
    from the first step of the run, a signal that came before would never be seen: jax
    then waits for step 1.)
    """
    return multihost_utils.reached_preemption_sync_point(steps)


def sum_counts(counts: Counter, names: Sequence[str]) -> Counter:
    """The sum over all processes of the counts of `names`, without zeros."""
    own = np.array([counts[name] for name in names], np.int32)
    if together():
        own = multihost_utils.process_allgather(own).sum(axis=0)
    return Counter({n: int(c) for n, c in zip(names, own, strict=True) if c})


def check_same(contents: Mapping[str, bytes]) -> None:
    """ConfigError on all processes unless each content is the same on all of them."""
    if not together():
        return
    own = np.array([zlib.crc32(content) for content in contents.values()], np.uint32)
    found = multihost_utils.process_allgather(own)
    for name, column in zip(contents, found.T, strict=True):
        others = np.flatnonzero(column != column[0])
        if len(others):
            raise ConfigError(
                f"process {others[0]} has another {name} than process 0; start all "
                "processes with the same command, on the same code and files"
            )

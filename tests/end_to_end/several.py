"""Several processes of one run, as a scheduler or a person starts them."""

import socket


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def explicit(index: int, port: int, count: int = 2) -> dict[str, str]:
    return {
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(count),
        "JAX_PROCESS_ID": str(index),
    }


def slurm(index: int, port: int) -> dict[str, str]:
    """What srun sets for a task of two on this machine."""
    return {
        "SLURM_JOB_ID": "4711",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
        "JAX_COORDINATOR_PORT": str(port),
    }


def start_together(program, name, *flags, count=2, devices=4, port=None) -> list:
    """All processes of a run, which find each other by the usual three variables."""
    port = port or free_port()
    return [
        program.start(
            name,
            *flags,
            devices=devices,
            VLP_HEARTBEAT_TIMEOUT="10",
            **explicit(index, port, count),
        )
        for index in range(count)
    ]


def run_two(program, name, *flags, variables=explicit, devices=4, only=("", "")):
    """Both processes of a run as they ended; `only` adds a flag to one of them."""
    port = free_port()
    started = [
        program.start(
            name,
            *flags,
            *([extra] if extra else []),
            devices=devices,
            VLP_HEARTBEAT_TIMEOUT="10",
            **variables(index, port),
        )
        for index, extra in enumerate(only)
    ]
    return [program.wait(process) for process in started]

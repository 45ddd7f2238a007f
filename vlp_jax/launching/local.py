"""This machine: one or several processes that train together, started again on failure.

They meet at a free port of 127.0.0.1. Process 0 prints on the terminal, the others
into files.
"""

import dataclasses
import os
import shlex
import socket
from collections.abc import Mapping
from pathlib import Path

from vlp_jax.core.errors import ConfigError
from vlp_jax.launching.job import Job
from vlp_jax.launching.supervisor import Process, supervise

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Local(Job):
    """Processes on this machine.

    cpu_devices: so many CPU devices per process, in place of accelerators.
    gpus_per_process: shares the GPUs out; None leaves all to every process. logs: the
    folder for the output of processes 1, 2, ... grace_seconds: from a signal to the
    end, for saving.
    """

    name: str
    processes_per_node: int = 1
    retries: int = 3
    grace_seconds: int = 120
    cpu_devices: int | None = None
    gpus_per_process: int | None = None
    logs: str = "runs/launch"

    @property
    def text(self) -> str:
        """One line per process; the port is a free one at each start."""
        lines = []
        for number in range(self.processes_per_node):
            settings = self.settings_of(number, "PORT", os.environ)
            words = [f"{key}={shlex.quote(value)}" for key, value in settings.items()]
            log = self.log_of(number)
            to = [f">> {shlex.quote(str(log))} 2>&1"] if log else []
            lines.append(" ".join([*words, shlex.join(self.command), *to]))
        return " &\n".join(lines) + "\n"

    def submit(self) -> int:
        """Runs it here, to the end."""
        return supervise(self._processes, self.retries, self.grace_seconds)

    def settings_of(
        self, number: int, port: int | str, around: Mapping[str, str]
    ) -> dict[str, str]:
        """The variables that process `number` gets besides those `around`."""
        found = {
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_COORDINATOR_BIND_ADDRESS": f"127.0.0.1:{port}",  # else all networks
            "JAX_NUM_PROCESSES": str(self.processes_per_node),
            "JAX_PROCESS_ID": str(number),
            **self.environment,
        }
        if self.cpu_devices:
            flags = found.get("XLA_FLAGS", around.get("XLA_FLAGS", ""))
            count = f"--xla_force_host_platform_device_count={self.cpu_devices}"
            found |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{flags} {count}".strip()}
        if self.gpus_per_process:
            found[VISIBLE] = self._gpus(number, found.get(VISIBLE, around.get(VISIBLE)))
        return found

    def log_of(self, number: int) -> Path | None:
        return Path(self.logs, f"{self.name}.{number}.log") if number else None

    def _gpus(self, number: int, visible: str | None) -> str:
        """The share of a process: of the GPUs that are visible, or of all."""
        needed = self.gpus_per_process * self.processes_per_node
        gpus = visible.split(",") if visible else list(map(str, range(needed)))
        if len(gpus) < needed:
            raise ConfigError(
                f"{self.processes_per_node} processes with {self.gpus_per_process} "
                f"GPUs each need {needed}; {VISIBLE} names only {len(gpus)}"
            )
        first = number * self.gpus_per_process
        return ",".join(gpus[first : first + self.gpus_per_process])

    def _processes(self) -> list[Process]:
        port = free_port()
        return [
            Process(
                self.command,
                os.environ | self.settings_of(number, port, os.environ),
                self.log_of(number),
            )
            for number in range(self.processes_per_node)
        ]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]

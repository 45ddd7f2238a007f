"""SLURM: a batch script for sbatch.

Two process models: one process per node that owns all its GPUs
(processes_per_node=1), or one per GPU (processes_per_node=gpus_per_node). The
processes find each other through SLURM's own variables.
"""

import dataclasses
import shlex

from vlp_jax.core.errors import CONFIG_WRONG, PREEMPTED, ConfigError
from vlp_jax.launching.job import ToolJob, exports


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slurm(ToolJob):
    """A batch job.

    grace_seconds: between SIGTERM and the end of time_limit, for saving. image: a
    container, which needs the pyxis plugin; without it the processes run in the
    environment of the submitting shell, an activated .venv included.
    """

    name: str
    nodes: int = 1
    processes_per_node: int = 1
    gpus_per_node: int | None = None
    cpus_per_process: int | None = None
    retries: int = 3
    grace_seconds: int = 120
    time_limit: str = "24:00:00"
    partition: str | None = None
    account: str | None = None
    image: str | None = None

    INSTALL = "it is on the login nodes of a SLURM cluster"
    tool = ("sbatch",)

    @property
    def file(self) -> str:
        return f"{self.name}.sh"

    @property
    def follow(self) -> str:
        return f"squeue --name={self.name}"

    @property
    def text(self) -> str:
        """The batch script."""
        options = {
            "job-name": self.name,
            "nodes": self.nodes,
            "ntasks-per-node": self.processes_per_node,
            "gpus-per-node": self.gpus_per_node,
            "cpus-per-task": self.cpus_per_process,
            "time": self.time_limit,
            "partition": self.partition,
            "account": self.account,
            "signal": f"TERM@{self.grace_seconds}",
            "output": "%x-%j.log",
            "open-mode": "append",
        }
        given = {key: value for key, value in options.items() if value is not None}
        lines = [
            "#!/usr/bin/env bash",
            *(f"#SBATCH --{key}={value}" for key, value in given.items()),
            "#SBATCH --requeue",
            "",
            *exports(self._device_ids() | dict(self.environment)),
            self._step(),
            "code=$?",
            "",
            *self._what_next(),
        ]
        return "\n".join(lines) + "\n"

    def _step(self) -> str:
        # A process that ends leaves the others the grace to finish what they save.
        step = ["srun", "--kill-on-bad-exit=0", f"--wait={self.grace_seconds}"]
        if self.cpus_per_process:
            step.append(f"--cpus-per-task={self.cpus_per_process}")
        if self.image:
            step.append(f"--container-image={self.image}")
        return shlex.join([*step, *self.command])

    def _device_ids(self) -> dict[str, str]:
        """One process per node must be told that all GPUs are its own: left alone, JAX
        gives a SLURM process the one GPU that has its local number.
        """
        processes, gpus = self.processes_per_node, self.gpus_per_node
        if gpus is None or processes == gpus:
            return {}
        if processes != 1:
            raise ConfigError(
                f"processes_per_node is {processes} and gpus_per_node {gpus}; expected "
                f"1 process that owns all GPUs, or {gpus} with one each"
            )
        return {"JAX_LOCAL_DEVICE_IDS": ",".join(map(str, range(gpus)))}

    def _what_next(self) -> list[str]:
        """Requeues what was preempted and saved, and what failed a few times only."""
        return [
            "# scancel ends this script too, so a cancelled job is not queued again.",
            'case "$code" in',
            f"0 | {CONFIG_WRONG}) ;; # done, or a setting is wrong: never again",
            f'{PREEMPTED}) scontrol requeue "$SLURM_JOB_ID" ;; # preempted and saved',
            "*)",
            f'    if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {self.retries} ]; then',
            '        scontrol requeue "$SLURM_JOB_ID"',
            "    fi",
            "    ;;",
            "esac",
            'exit "$code"',
        ]

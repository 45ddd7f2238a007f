"""xpk: the command that makes a workload on an xpk cluster of TPU slices."""

import dataclasses
from collections.abc import Sequence

from vlp_jax.core.errors import HUNG, PREEMPTED, ConfigError
from vlp_jax.launching.gke import literal
from vlp_jax.launching.job import ToolJob, on_lines, with_environment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Xpk(ToolJob):
    """A workload. tpu_type: xpk's name of a slice, such as v5litepod-256.

    xpk starts again only after the exit codes that it is told, so 78 ends the workload;
    75 counts as one of the retries.
    """

    name: str
    cluster: str
    image: str
    tpu_type: str
    slices: int = 1
    retries: int = 3
    grace_seconds: int = 120
    project: str | None = None
    zone: str | None = None
    priority: str | None = None

    INSTALL = "pip install xpk"

    @property
    def follow(self) -> str:
        return f"xpk workload list --cluster={self.cluster}"

    @property
    def text(self) -> str:
        return on_lines(self.tool, together=3)

    @property
    def tool(self) -> Sequence[str]:
        """The words of the command."""
        line = with_environment(self.environment, self.command)
        if "\n" in line:
            raise ConfigError(
                "xpk writes the command into one line of YAML, and this command or its "
                "environment has a line break; use a file, or launch/gke_tpu.py"
            )
        options = {
            "workload": self.name,
            "cluster": self.cluster,
            "tpu-type": self.tpu_type,
            "num-slices": self.slices,
            "docker-image": self.image,
            "max-restarts": self.retries,
            "restart-on-exit-codes": f"1,{PREEMPTED},{HUNG}",
            "termination-grace-period-seconds": self.grace_seconds,
            "project": self.project,
            "zone": self.zone,
            "priority": self.priority,
            "command": literal(line),  # it ends up in a JobSet
        }
        flags = [f"--{k}={v}" for k, v in options.items() if v is not None]
        return ("xpk", "workload", "create", *flags)

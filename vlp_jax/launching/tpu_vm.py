"""Cloud TPU VMs that exist: the command that starts a run on all of their hosts."""

import dataclasses
import shlex
from collections.abc import Sequence

from vlp_jax.launching.job import ToolJob, on_lines, with_environment

GCLOUD = ("gcloud", "compute", "tpus", "tpu-vm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TpuVm(ToolJob):
    """The same command on every host of the TPU called `tpu`, in `folder` there.

    The hosts find each other through Cloud TPU's metadata. The run ends with the ssh
    connection and is not retried: the same command goes on from the checkpoint.
    """

    tpu: str
    zone: str
    project: str | None = None
    folder: str | None = None

    INSTALL = "https://cloud.google.com/sdk"

    @property
    def text(self) -> str:
        return on_lines(self.tool, together=len(GCLOUD) + 2)

    @property
    def follow(self) -> str:
        return shlex.join([*GCLOUD, "describe", self.tpu, *self._where()])

    @property
    def tool(self) -> Sequence[str]:
        """The words of the command."""
        there = with_environment(self.environment, self.command)
        if self.folder:
            there = f"cd {shlex.quote(self.folder)} && {there}"
        command = ("--worker=all", f"--command={there}")
        return (*GCLOUD, "ssh", self.tpu, *self._where(), *command)

    def _where(self) -> list[str]:
        return [f"--zone={self.zone}"] + (
            [f"--project={self.project}"] if self.project else []
        )

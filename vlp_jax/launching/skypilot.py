"""SkyPilot: a task file for a managed job on the clouds it knows."""

import dataclasses
import shlex

from vlp_jax.core.errors import PREEMPTED
from vlp_jax.launching.job import COORDINATOR_PORT, ToolJob
from vlp_jax.launching.manifest import to_yaml

# SkyPilot numbers the nodes and lists their addresses; JAX reads other names.
MEETING = (
    'JAX_COORDINATOR_ADDRESS="$(head -n1 <<< "$SKYPILOT_NODE_IPS"):'
    f'{COORDINATOR_PORT}"',
    'JAX_NUM_PROCESSES="$SKYPILOT_NUM_NODES"',
    'JAX_PROCESS_ID="$SKYPILOT_NODE_RANK"',
    "export JAX_COORDINATOR_ADDRESS JAX_NUM_PROCESSES JAX_PROCESS_ID",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SkyPilot(ToolJob):
    """A managed job. The working directory is copied to every node.

    accelerators: those of a node, such as H100:8. infra: such as gcp/us-central1; None
    takes the cheapest. setup: lines of shell that prepare a node. After a preemption
    and after exit code 75 SkyPilot starts again without counting; of the other codes
    it tells none apart, so that 78 is retried, too.
    """

    name: str
    accelerators: str
    nodes: int = 1
    infra: str | None = None
    use_spot: bool = False
    image: str | None = None
    setup: str | None = None
    retries: int = 3

    INSTALL = 'pip install "skypilot[gcp]", or another cloud'
    tool = ("sky", "jobs", "launch", "--yes")
    follow = "sky jobs queue"

    @property
    def file(self) -> str:
        return f"{self.name}.yaml"

    @property
    def text(self) -> str:
        """The task file."""
        resources = {
            "infra": self.infra,
            "accelerators": self.accelerators,
            "use_spot": self.use_spot,
            "image_id": f"docker:{self.image}" if self.image else None,
            "job_recovery": {
                "max_restarts_on_errors": self.retries,
                "recover_on_exit_codes": [PREEMPTED],
            },
        }
        task = {
            "name": self.name,
            "workdir": ".",
            "num_nodes": self.nodes,
            "resources": {k: v for k, v in resources.items() if v is not None},
            "envs": dict(self.environment) or None,
            "setup": self.setup,
            "run": "\n".join([*MEETING, shlex.join(self.command), ""]),
        }
        task = {key: value for key, value in task.items() if value is not None}
        return to_yaml(task)

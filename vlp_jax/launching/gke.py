"""Google Kubernetes Engine: a JobSet, for TPU slices or for nodes with GPUs.

JobSet (https://jobset.sigs.k8s.io) starts all processes again when one fails, up to
`retries` times. Exit code 78 ends it at once; after 75 the pod comes back uncounted.
"""

import abc
import dataclasses
import math
from typing import Any

from vlp_jax.core.errors import CONFIG_WRONG, PREEMPTED, ConfigError
from vlp_jax.launching.job import COORDINATOR_PORT, ToolJob
from vlp_jax.launching.manifest import to_yaml

WORKERS, CONTAINER = "workers", "main"
DATA = "/data"  # where volume_claim is mounted
EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"
NODE_POOL = "cloud.google.com/gke-nodepool"
PROCESS_ID = "metadata.annotations['batch.kubernetes.io/job-completion-index']"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _JobSet(ToolJob):
    """What both kinds share.

    volume_claim: a PersistentVolumeClaim that all pods mount at /data; checkpoints
    outlive a restart only there. queue: of Kueue, where the cluster has it.
    """

    name: str
    image: str
    accelerator: str
    retries: int = 3
    grace_seconds: int = 120
    volume_claim: str | None = None
    service_account: str | None = None
    queue: str | None = None

    INSTALL = "https://kubernetes.io/docs/tasks/tools"
    tool = ("kubectl", "apply", "-f")

    @property
    def file(self) -> str:
        return f"{self.name}.yaml"

    @property
    def follow(self) -> str:
        return f"kubectl get pods -l jobset.sigs.k8s.io/jobset-name={self.name}"

    @property
    def text(self) -> str:
        """The manifest."""
        return to_yaml(self.jobset())

    @abc.abstractmethod
    def jobset(self) -> dict[str, Any]:
        """The manifest as plain values."""

    def _jobset(self, job: dict[str, Any], replicas: int = 1) -> dict[str, Any]:
        never_again = {
            "name": "neverAgain",
            "action": "FailJobSet",
            "onJobFailureReasons": ["PodFailurePolicy"],
        }
        workers = {"name": WORKERS, "replicas": replicas, "template": {"spec": job}}
        queue = {"labels": {"kueue.x-k8s.io/queue-name": self.queue}}
        return {
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": {"name": self.name, **(queue if self.queue else {})},
            "spec": {
                "network": {"enableDNSHostnames": True, "subdomain": self.name},
                "failurePolicy": {"maxRestarts": self.retries, "rules": [never_again]},
                "replicatedJobs": [workers],
            },
        }

    def _job(self, nodes: int, pod: dict[str, Any]) -> dict[str, Any]:
        def when(code: int, action: str) -> dict[str, Any]:
            codes = {"containerName": CONTAINER, "operator": "In", "values": [code]}
            return {"action": action, "onExitCodes": codes}

        rules = [when(PREEMPTED, "Ignore"), when(CONFIG_WRONG, "FailJob")]
        return {
            "parallelism": nodes,
            "completions": nodes,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "podFailurePolicy": {"rules": rules},
            "template": {"spec": pod},
        }

    def _pod(
        self, selector: dict[str, str], limits: dict[str, int], variables: list[dict]
    ) -> dict[str, Any]:
        given = [
            {"name": name, "value": literal(value)}
            for name, value in self.environment.items()
        ]
        container = {
            "name": CONTAINER,
            "image": self.image,
            "command": [literal(word) for word in self.command],  # no shell between
            "ports": [{"containerPort": COORDINATOR_PORT}],
            "resources": {"limits": limits},
        }
        if variables + given:
            container["env"] = variables + given
        pod = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": self.grace_seconds,
            "nodeSelector": selector,
            "containers": [container],
        }
        if self.service_account:
            pod["serviceAccountName"] = self.service_account
        if self.volume_claim:
            claim = {"claimName": self.volume_claim}
            pod["volumes"] = [{"name": "data", "persistentVolumeClaim": claim}]
            container["volumeMounts"] = [{"name": "data", "mountPath": DATA}]
        return pod


@dataclasses.dataclass(frozen=True, kw_only=True)
class GkeTpu(_JobSet):
    """TPU slices: `accelerator` tpu-v5-lite-podslice, `topology` 4x4, and so on.

    One process per node; GKE itself tells the processes where the others are.
    """

    topology: str
    chips_per_node: int = 4
    slices: int = 1

    def jobset(self) -> dict[str, Any]:
        selector = {
            "cloud.google.com/gke-tpu-accelerator": self.accelerator,
            "cloud.google.com/gke-tpu-topology": self.topology,
        }
        pod = self._pod(selector, {"google.com/tpu": self.chips_per_node}, [])
        found = self._jobset(self._job(self._nodes(), pod), self.slices)
        # A slice is a node pool, and its processes must not be spread over two.
        found["metadata"]["annotations"] = {EXCLUSIVE: NODE_POOL}
        return found

    def _nodes(self) -> int:
        """4x4 chips, 4 to a node -> 4 nodes."""
        sizes = self.topology.split("x")
        chips = math.prod(int(n) if n.isdecimal() else 0 for n in sizes)
        if not 2 <= len(sizes) <= 3 or chips < 1 or chips % self.chips_per_node:
            raise ConfigError(
                f"topology is {self.topology!r} and chips_per_node "
                f"{self.chips_per_node}; expected a topology like 4x4 or 4x4x8 whose "
                "chips the nodes share evenly"
            )
        return chips // self.chips_per_node


@dataclasses.dataclass(frozen=True, kw_only=True)
class GkeGpu(_JobSet):
    """Nodes with GPUs, `accelerator` nvidia-h100-80gb and so on; one process each."""

    nodes: int = 1
    gpus_per_node: int = 8

    def jobset(self) -> dict[str, Any]:
        address = f"{self.name}-{WORKERS}-0-0.{self.name}:{COORDINATOR_PORT}"
        index = {"fieldRef": {"fieldPath": PROCESS_ID}}
        variables = [
            {"name": "JAX_COORDINATOR_ADDRESS", "value": address},
            {"name": "JAX_NUM_PROCESSES", "value": str(self.nodes)},
            {"name": "JAX_PROCESS_ID", "valueFrom": index},
        ]
        selector = {"cloud.google.com/gke-accelerator": self.accelerator}
        pod = self._pod(selector, {"nvidia.com/gpu": self.gpus_per_node}, variables)
        return self._jobset(self._job(self.nodes, pod))


def literal(text: str) -> str:
    """Kubernetes replaces $(NAME) in commands and values; a doubled $ is one."""
    return text.replace("$", "$$")

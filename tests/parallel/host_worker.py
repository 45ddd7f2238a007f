"""One of several processes: joins the others and prints what it sees, as JSON."""

import json
from collections import Counter

import jax
import numpy as np
from jax._src.xla_bridge import CUDA_VISIBLE_DEVICES  # the GPUs jax may use

from vlp_jax.core import logs
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.parallel import hosts
from vlp_jax.parallel.agreement import decided
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.parallel.sharding import place_batch, process_share

MESHES = {
    "data": MeshSpec(),
    "fsdp": MeshSpec(data=2, fsdp=4),
    "tensor within a process": MeshSpec(data=4, tensor=2),
    "tensor over both": MeshSpec(data=1, tensor=8),
    "two parts": MeshSpec(data=4, fsdp=2, dcn_data=2),
}
ROWS = 16


def interleaved() -> jax.sharding.Mesh:
    """Devices of both processes in turn, as on a TPU slice of several hosts."""
    devices = jax.devices()
    return MeshSpec().make([devices[i] for i in (0, 4, 1, 5, 6, 2, 7, 3)])


def batches(mesh: jax.sharding.Mesh) -> dict:
    """The rows of this process, and the sums of a batch that both have placed."""
    share = process_share(ROWS, mesh)
    values = np.arange(ROWS, dtype=np.float32)[:, None] ** np.arange(3)
    weights = np.arange(1, ROWS + 1, dtype=np.float32)
    sums = jax.jit(lambda x: weights @ x)
    return {
        "rows": share.rows.tolist(),
        "counted": share.rows[share.counted].tolist(),
        "own": np.asarray(sums(place_batch(values[share.rows], mesh))).tolist(),
        "whole": np.asarray(sums(place_batch(values, mesh, whole=True))).tolist(),
    }


def difference() -> str:
    data = f"data of process {jax.process_index()}".encode()
    try:
        hosts.check_same({"config": b"equal", "data": data})
    except ConfigError as error:
        return str(error)
    return ""


def decision(kind: type[Exception]) -> str:
    """What a decision that process 0 cannot make says here."""

    def refuse():
        raise kind(f"said by process {hosts.number()}")

    try:
        decided(refuse)
    except kind as error:
        return str(error)
    return ""


def main() -> None:
    hosts.start()
    before = decided(lambda: ["of process", hosts.number()])  # no backend has started
    # Before a backend has started; starting one is a collective itself.
    talks, label = logs.talks(), hosts.label()
    index = jax.process_index()
    hosts.check_same({"config": b"equal"})
    found = {
        "processes": jax.process_count(),
        "devices": jax.device_count(),
        "talks": talks,
        "label": label,
        "cuda": CUDA_VISIBLE_DEVICES.value,
        "counts": hosts.sum_counts(Counter(a=index + 1, b=2 * index), ("c", "b", "a")),
        "difference": difference(),
        "decided": [before, decision(ConfigError), decision(RunError)],
        "batches": {name: batches(spec.make()) for name, spec in MESHES.items()}
        | {"interleaved": batches(interleaved())},
    }
    print("found", json.dumps(found))


if __name__ == "__main__":
    main()

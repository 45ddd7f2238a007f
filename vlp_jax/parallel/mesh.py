"""The device mesh: which devices hold which part of a batch and of a parameter."""

import dataclasses
import math
from collections.abc import Sequence

import jax
from jax.sharding import AxisType, Mesh

from vlp_jax.core.errors import ConfigError

AXES = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")  # the batch is split over both


@dataclasses.dataclass(frozen=True)
class MeshSpec:
    """Sizes of the mesh axes; -1 takes the devices that the others leave.

    data: copies of the parameters. fsdp: parameters, gradients and optimizer state
    are sharded over it, the batch too. tensor: single matrices are split over it.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1

    def make(self, devices: Sequence[jax.Device] | None = None) -> Mesh:
        """The mesh over `devices` (default: all of them)."""
        devices = list(jax.devices() if devices is None else devices)
        sizes = [self.data, self.fsdp, self.tensor]
        known = math.prod(size for size in sizes if size != -1)
        if sizes.count(-1) == 1 and known > 0 and len(devices) % known == 0:
            sizes[sizes.index(-1)] = len(devices) // known
        if math.prod(sizes) != len(devices) or min(sizes) < 1:
            raise ConfigError(
                f"mesh (data, fsdp, tensor) = {(self.data, self.fsdp, self.tensor)} "
                f"does not fill {len(devices)} devices; the product of the three must "
                "be their number (one of them may be -1)"
            )
        return jax.make_mesh(
            sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices
        )


def batch_devices(mesh: Mesh) -> int:
    """Over how many devices a batch is split."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def check_batch_size(batch_size: int, mesh: Mesh, accumulation: int = 1) -> None:
    """ConfigError unless the devices can share every micro-batch evenly."""
    devices = batch_devices(mesh)
    shares = devices * accumulation
    if batch_size < 1 or batch_size % shares:
        near = max(shares, round(batch_size / shares) * shares)
        parts = f" in {accumulation} micro-batches" if accumulation > 1 else ""
        raise ConfigError(
            f"batch_size {batch_size} cannot be split evenly over {devices} devices"
            f"{parts}; use a multiple of {shares}, for example {near}"
        )

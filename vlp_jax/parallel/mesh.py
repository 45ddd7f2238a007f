"""The device mesh: which devices hold which part of a batch and of a parameter."""

import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from vlp_jax.core.errors import ConfigError

AXES = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")  # the batch is split over both


@dataclasses.dataclass(frozen=True)
class MeshSpec:
    """Sizes of the mesh axes; -1 takes the devices that the others leave.

    data: copies of the parameters. fsdp: parameters, gradients and optimizer state
    are sharded over it, the batch too. tensor: single matrices are split over it.
    dcn_data: into how many parts the slow network between slices or groups of hosts
    cuts `data`; fsdp and tensor stay within a part. -1: one part per TPU slice.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    dcn_data: int = -1

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
        parts = _parts(devices, sizes, self.dcn_data)
        sizes[0] //= len(parts)
        types = (AxisType.Auto,) * len(AXES)
        # A mesh axis may take a part of a physical one: most slices need it.
        blocks = [
            mesh_utils.create_device_mesh(sizes, part, allow_split_physical_axes=True)
            for part in parts
        ]
        return Mesh(np.concatenate(blocks), AXES, axis_types=types)


def _parts(
    devices: list[jax.Device], sizes: Sequence[int], count: int
) -> list[list[jax.Device]]:
    """The devices in `count` parts of equal size that a slow network connects.

    Raises ConfigError when the mesh would not fit into them.
    """
    tpu = devices[0].platform == "tpu"
    slices = len({getattr(d, "slice_index", 0) for d in devices}) if tpu else 1
    hosts = len({device.process_index for device in devices})
    count = slices if count == -1 else count
    if count < 1:
        raise ConfigError(f"mesh.dcn_data is {count}; expected 1 or more, or -1")
    if tpu and count != slices:
        raise ConfigError(
            f"mesh.dcn_data is {count}, but these TPUs form "
            f"{slices} slice{'s' if slices > 1 else ''}; leave it out to use one part "
            "per slice"
        )
    if sizes[0] % count:
        raise ConfigError(
            f"mesh.dcn_data cuts data = {sizes[0]} into {count} parts, which must be "
            f"equal: data must be a multiple of {count}, so lower mesh.fsdp or "
            "mesh.tensor" + (", or use fewer parts" if not tpu else "")
        )
    if hosts % count and hosts > 1:
        raise ConfigError(
            f"mesh.dcn_data is {count}, but the devices belong to {hosts} processes, "
            f"which {count} parts cannot share evenly"
        )
    if slices > 1:
        devices = sorted(devices, key=lambda device: device.slice_index)
    size = len(devices) // count
    return [devices[i : i + size] for i in range(0, len(devices), size)]


def batch_devices(mesh: Mesh) -> int:
    """Over how many devices a batch is split."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def check_batch_size(
    batch_size: int, mesh: Mesh, accumulation: int = 1, name: str = "batch_size"
) -> None:
    """ConfigError unless the devices can share every micro-batch evenly."""
    devices = batch_devices(mesh)
    shares = devices * accumulation
    if batch_size < 1 or batch_size % shares:
        near = max(shares, round(batch_size / shares) * shares)
        parts = f" in {accumulation} micro-batches" if accumulation > 1 else ""
        raise ConfigError(
            f"{name} {batch_size} cannot be split evenly over {devices} devices"
            f"{parts}; use a multiple of {shares}, for example {near}"
        )

"""Meshes fill the devices; the slow network cuts only data; batches are shared out."""

from typing import NamedTuple

import numpy as np
import pytest

from tests.parallel.meshes import make_mesh
from vlp_jax.core.errors import ConfigError
from vlp_jax.parallel.mesh import MeshSpec, batch_devices, check_batch_size


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [
        (MeshSpec(), (8, 1, 1)),
        (MeshSpec(fsdp=4), (2, 4, 1)),
        (MeshSpec(2, -1, 2), (2, 2, 2)),
        (MeshSpec(4, 2, -1), (4, 2, 1)),
        (MeshSpec(1, 1, 8), (1, 1, 8)),
    ],
)
def test_minus_one_takes_what_is_left(spec, sizes):
    mesh = spec.make()
    assert mesh.axis_names == ("data", "fsdp", "tensor")
    assert mesh.devices.shape == sizes
    assert batch_devices(mesh) == sizes[0] * sizes[1]


@pytest.mark.parametrize(
    "spec",
    [
        MeshSpec(4),
        MeshSpec(16),
        MeshSpec(fsdp=3),
        MeshSpec(-1, -1),
        MeshSpec(fsdp=0),
        MeshSpec(-2, -4),
        MeshSpec(data=-1, fsdp=-8),
    ],
)
def test_meshes_that_do_not_fill_the_devices(spec):
    with pytest.raises(ConfigError, match=r"does not fill 8 devices; the product"):
        spec.make()


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [
        (MeshSpec(dcn_data=2), (8, 1, 1)),
        (MeshSpec(fsdp=4, dcn_data=2), (2, 4, 1)),
        (MeshSpec(data=4, fsdp=2, dcn_data=4), (4, 2, 1)),
        (MeshSpec(data=4, tensor=2, dcn_data=2), (4, 1, 2)),
        (MeshSpec(dcn_data=1), (8, 1, 1)),
    ],
)
def test_the_slow_network_cuts_only_data(spec, sizes):
    """Each part is a block of `data`: its devices, and so its rows, stay together."""
    mesh = spec.make()
    assert mesh.devices.shape == sizes
    parts = np.split(mesh.devices, spec.dcn_data)
    found = [sorted(device.id for device in part.flat) for part in parts]
    size = 8 // spec.dcn_data
    assert found == [[*range(i, i + size)] for i in range(0, 8, size)]


class Stub(NamedTuple):
    """A device of a machine that is not here."""

    process_index: int
    slice_index: int = 0
    platform: str = "tpu"


TWO_SLICES = [Stub(i // 4, slice_index=i // 8) for i in range(16)]
THREE_HOSTS = [Stub(i // 4, platform="gpu") for i in range(12)]


@pytest.mark.parametrize(
    ("spec", "devices", "said"),
    [
        (MeshSpec(dcn_data=3), None, "cuts data = 8 into 3 parts.* multiple of 3"),
        (MeshSpec(fsdp=8, dcn_data=2), None, "cuts data = 1 into 2 parts"),
        (MeshSpec(dcn_data=0), None, "is 0; expected 1 or more, or -1"),
        (MeshSpec(dcn_data=-2), None, "is -2; expected 1 or more"),
        # Slices are found: one part each, and fsdp must fit into a slice.
        (MeshSpec(fsdp=16), TWO_SLICES, "cuts data = 1 into 2 parts"),
        (MeshSpec(dcn_data=4), TWO_SLICES, "is 4, but these TPUs form 2 slices;"),
        (MeshSpec(dcn_data=1), TWO_SLICES, "is 1, but these TPUs form 2 slices;"),
        (MeshSpec(dcn_data=2), THREE_HOSTS, "is 2, but .* belong to 3 processes"),
    ],
)
def test_parts_that_the_devices_cannot_form(spec, devices, said):
    with pytest.raises(ConfigError, match=f"mesh.dcn_data {said}"):
        spec.make(devices)


def test_batch_size_error_names_a_size_that_works():
    mesh = make_mesh(2, 2, 2)  # the tensor axis does not split the batch
    check_batch_size(4, mesh)
    for size, works in ((6, 8), (-1, 4), (0, 4), (1, 4), (1001, 1000)):
        with pytest.raises(ConfigError, match=f"for example {works}$"):
            check_batch_size(size, mesh)
        check_batch_size(works, mesh)

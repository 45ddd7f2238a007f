"""Rows in batches of one shape, shared by the devices, results where all can see."""

import jax
import numpy as np
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.models.batches import Batches
from vlp_jax.parallel.mesh import MeshSpec


@pytest.fixture(scope="module")
def mesh():
    return MeshSpec(fsdp=2, tensor=2).make()  # 4 of 8 devices share rows


@pytest.mark.parametrize("asked, size", [(1, 4), (4, 4), (5, 8)])
def test_a_batch_is_what_the_devices_divide(mesh, asked, size):
    assert Batches(mesh, asked).size == size


def test_rows_come_back_in_order_and_without_those_that_fill_up(mesh):
    batches, shapes = Batches(mesh, 4), []

    def twice(variables, rows, numbers):
        shapes.append(rows.shape)
        return variables["factor"] * rows + numbers[:, None]

    rows = np.arange(22.0, dtype=np.float32).reshape(11, 2)
    numbers = np.arange(11)

    def rows_of(part):
        return rows[part], numbers[part]

    found = batches.run(jax.jit(twice), {"factor": 2.0}, 11, rows_of)
    np.testing.assert_array_equal(found, 2 * rows + numbers[:, None])
    assert shapes == [(4, 2)]  # traced once for three batches


def test_no_batch_at_all(mesh):
    with pytest.raises(ConfigError, match="batch_size is 0"):
        Batches(mesh, 0)

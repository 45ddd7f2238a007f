"""The nearest keys equal those of a stable sort, on every number of devices."""

import numpy as np
import pytest

from tests.parallel.meshes import make_mesh
from vlp_jax.evaluation import nearest as module
from vlp_jax.evaluation.nearest import nearest


@pytest.fixture(params=[(1024, 8192), (5, 3)], ids=["whole", "tiles"])
def sizes(request, monkeypatch):
    """How many queries and keys are compared at a time."""
    for name, size in zip(("QUERIES", "KEYS"), request.param, strict=True):
        monkeypatch.setattr(module, name, size)


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("k", [1, 7, 41])
def test_neighbours_equal_a_stable_sort(sizes, devices, k):
    """Small integers: products tie often, and are exact in any order of summing."""
    rng = np.random.default_rng(0)
    queries = rng.integers(-2, 3, (13, 4)).astype(np.float32)
    keys = rng.integers(-2, 3, (41, 4)).astype(np.float32)
    scores = queries @ keys.T
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    similarity, index = nearest(queries, keys, k, make_mesh(devices))
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(
        similarity, np.take_along_axis(scores, expected, axis=1)
    )


def test_fewer_keys_than_devices_and_than_k():
    keys = np.eye(3, dtype=np.float32)
    similarity, index = nearest(-keys, keys, 20, make_mesh(8))
    assert index.tolist() == [[1, 2, 0], [0, 2, 1], [0, 1, 2]]
    assert similarity[:, -1].tolist() == [-1, -1, -1]


def test_other_queries_compile_nothing():
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(30, 4)).astype(np.float32)
    mesh = make_mesh(8)
    nearest(keys[:7], keys, 3, mesh)
    search = module._search(mesh, 3, 4)
    compiled = search._cache_size()
    nearest(keys[10:17], keys[::-1], 3, mesh)
    assert search._cache_size() == compiled == 1

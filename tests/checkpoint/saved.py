"""Checkpoints of a small tree of arrays, and damage to their files."""

import jax
import jax.numpy as jnp
import numpy as np

from vlp_jax.checkpoint.storage import CheckpointStore
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.parallel.sharding import placed_shapes, tree_shardings

FILES = {"config.json": b'{"seed": 1}', "tokenizer/merges.txt": b"a b\n\x00\xff"}


def meshes() -> dict[str, jax.sharding.Mesh]:
    return {
        "one device": MeshSpec().make(jax.devices()[:1]),
        "eight copies": MeshSpec(data=8).make(),
        "fsdp": MeshSpec(data=2, fsdp=4).make(),
    }


def tree(mesh, width: int = 64):
    """Arrays that show a lost bit: random ones, NaN, -0, several dtypes."""
    rng = np.random.default_rng(0)
    special = np.array([np.nan, -0.0, np.inf, 1e-42], np.float32)
    values = {
        "params": {
            "kernel": rng.standard_normal((width, 128)).astype(np.float32),
            "half": jnp.asarray(rng.standard_normal((256, 32)), jnp.bfloat16),
            "special": special,
        },
        "count": np.int32(7),
    }
    return jax.device_put(values, tree_shardings(values, mesh))


def like(mesh, values):
    shapes = jax.eval_shape(lambda: values)
    return placed_shapes(shapes, tree_shardings(shapes, mesh))


def items(mesh):
    return {"model": tree(mesh), "training": {"momentum": tree(mesh)["params"]}}


def save(
    workdir, *steps: int, keep: int = 3, mesh=None, files=FILES
) -> CheckpointStore:
    store = CheckpointStore(workdir, keep)
    for step in steps:
        store.save(step, items(mesh or meshes()["fsdp"]), files)
    store.close()
    return store


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        assert one.dtype == other.dtype
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def flip(path) -> None:
    """Turns one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def largest(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return max(files, key=lambda path: path.stat().st_size)

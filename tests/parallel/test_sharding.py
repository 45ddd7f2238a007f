"""Where arrays live: which axis is split, and that an update moves nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec as P

from tests.parallel.meshes import make_mesh
from vlp_jax.core import trees
from vlp_jax.parallel.sharding import (
    LAYOUT,
    ZERO,
    constrain,
    jit_update,
    place_batch,
    tree_shardings,
)
from vlp_jax.training.optimizer import adamw


def spec_of(shape, mesh, path="x", layout=LAYOUT):
    leaf = jax.ShapeDtypeStruct(shape, jnp.float32)
    return trees.flatten(tree_shardings({path: leaf}, mesh, layout))[path].spec


def test_fsdp_splits_the_largest_axis_that_it_divides():
    mesh = make_mesh(2, 4, 1)
    assert spec_of((64, 256), mesh) == P(None, "fsdp")
    assert spec_of((256, 64), mesh) == P("fsdp")
    assert spec_of((64, 257), mesh) == P("fsdp")
    assert spec_of((63, 257), mesh) == P()
    assert spec_of((64,), mesh) == spec_of((), mesh) == P()  # small ones are copied
    assert spec_of((64, 256), make_mesh(8, 1, 1)) == P()


def test_zero_splits_optimizer_state_over_the_data_axis_too():
    mesh = make_mesh(2, 4, 1)
    assert spec_of((64, 256), mesh, "opt_state/mu", ZERO) == P(None, ("data", "fsdp"))
    assert spec_of((65, 64), mesh, "ema/x", ZERO) == P(None, ("data", "fsdp"))
    assert spec_of((63, 68), mesh, "ema/x", ZERO) == P(None, "fsdp")  # 8 do not divide
    assert spec_of((64, 256), mesh, "params/x", ZERO) == P(None, "fsdp")
    everywhere = make_mesh(8, 1, 1)
    assert spec_of((64, 256), everywhere, "opt_state/x", ZERO) == P(
        None, ("data", "fsdp")
    )


def test_fsdp_leaves_each_device_its_share_of_the_bytes():
    mesh = make_mesh(2, 4, 1)
    tree = {"kernel": jnp.ones((128, 64)), "bias": jnp.ones(64)}
    placed = jax.device_put(tree, tree_shardings(tree, mesh))
    for name, parts in (("kernel", 4), ("bias", 1)):
        shards = placed[name].addressable_shards
        assert len(shards) == 8
        assert {x.data.nbytes for x in shards} == {tree[name].nbytes // parts}


def test_the_first_rule_found_in_the_path_decides_for_optimizer_state_too():
    mesh = make_mesh(2, 2, 2)
    block = {
        "attention": {
            "query": {"kernel": jnp.ones((64, 128)), "bias": jnp.ones(128)},
            "out": {"kernel": jnp.ones((128, 64)), "bias": jnp.ones(64)},
        },
        "mlp": {
            "in": {"kernel": jnp.ones((64, 128)), "bias": jnp.ones(128)},
            "out": {"kernel": jnp.ones((128, 65))},
        },
        "embedding": jnp.ones((128, 64)),
        "odd": {"query": {"kernel": jnp.ones((128, 63))}},
    }
    expected = {
        "attention/query/kernel": P("fsdp", "tensor"),
        "attention/query/bias": P("tensor"),
        "attention/out/kernel": P("tensor", "fsdp"),
        "attention/out/bias": P(),
        "mlp/in/kernel": P("fsdp", "tensor"),
        "mlp/out/kernel": P("tensor"),
        "embedding": P("fsdp"),  # no rule: fsdp's own choice
        "odd/query/kernel": P("fsdp"),  # two devices cannot share 63 columns
    }
    optimizer = adamw(optax.constant_schedule(1.0))
    tree = {"params": block, "opt_state": jax.eval_shape(optimizer.init, block)}
    found = trees.flatten(tree_shardings(tree, mesh))
    for path, spec in expected.items():
        places = [s.spec for p, s in found.items() if p.endswith(f"/{path}")]
        assert places == [spec] * 3, path  # the parameter and both moments
    assert found["opt_state/1/count"].spec == P()


def test_constrain_needs_no_mesh():
    x = jnp.ones((8, 2))
    assert constrain(x) is x
    mesh = make_mesh(4, 2, 1)
    with jax.set_mesh(mesh):
        split = jax.jit(lambda x: constrain(x * 2))(x)
    assert {shard.data.shape for shard in split.addressable_shards} == {(1, 2)}


def test_place_batch_keeps_the_order_of_rows():
    rows = {"pairs": {"sample_id": np.arange(16, dtype=np.int32)}}
    placed = place_batch(rows, make_mesh(2, 4, 1))["pairs"]["sample_id"]
    np.testing.assert_array_equal(placed, np.arange(16))
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2,)}


def test_the_old_state_gives_its_memory_to_the_new_one():
    mesh = make_mesh(2, 4, 1)
    tree = {"kernel": jnp.ones((128, 64)), "bias": jnp.ones(64)}
    state = jax.device_put(tree, tree_shardings(tree, mesh))
    step = jit_update(lambda s, x: (jax.tree.map(lambda a: a + x, s), {}), state)
    new, _ = step(state, 1.0)
    assert state["kernel"].is_deleted() and state["bias"].is_deleted()
    assert new["kernel"][0, 0] == 2

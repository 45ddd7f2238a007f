"""Meshes, where arrays live, and that a step on any mesh is the same step."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from tests.parallel.tiny_clip import batch_of, tiny_init, tiny_model
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.objectives.contrastive import Contrastive
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.parallel.mesh import MeshSpec, batch_devices, check_batch_size
from vlp_jax.parallel.sharding import (
    LAYOUT,
    ZERO,
    bytes_per_device,
    constrain,
    jit_update,
    place_batch,
    tree_shardings,
)
from vlp_jax.training.optimizer import adamw
from vlp_jax.training.state import create_sharded, make_state, state_shapes
from vlp_jax.training.step import make_train_step


def make_mesh(*sizes):
    return MeshSpec(*sizes).make(jax.devices()[: math.prod(sizes)])


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


BATCH, STEPS = 16, 10
MESHES = [(8, 1, 1), (2, 4, 1), (1, 8, 1), (2, 2, 2), (1, 2, 4)]


# Adam divides a gradient by its own size: where that is noise, so is the update, and
# parameters may part by the learning rate however exact the gradients are. So steps
# are compared under plain gradient descent with momentum.
SGD = optax.sgd(0.05, momentum=0.9)


def make_tiny_state():
    return make_state(tiny_init(), SGD, {"contrastive": ()}, keep_ema=True, seed=0)


@functools.cache
def first_state():
    """On the host: compiled once, not once per mesh."""
    return jax.tree.map(np.asarray, jax.jit(make_tiny_state)())


@functools.cache
def train(sizes, layout=LAYOUT):
    """(losses, gradients of step 1, final state, compiled step) of STEPS steps."""
    mesh = make_mesh(*sizes)
    mixture = Mixture(
        {"contrastive": Contrastive(mesh, tile_size=7)}, {"contrastive": 1}
    )
    state = jax.device_put(first_state(), tree_shardings(first_state(), mesh, layout))
    compute, bounds = compute_outputs(tiny_model()), {"logit_scale": (0.0, 4.6051702)}
    step = jit_update(make_train_step(compute, mixture, SGD, 0, bounds, 0.9), state)
    losses, gradients = [], None
    with jax.set_mesh(mesh):
        for i in range(STEPS):
            state, metrics = step(state, place_batch(batch_of(i, BATCH), mesh))
            losses.append(float(metrics["loss"]))
            if not i:  # the momentum of descent starts as the gradient
                momentum = state.opt_state[0].trace
                gradients = {
                    k: np.asarray(v) for k, v in trees.flatten(momentum).items()
                }
    return np.array(losses), gradients, state, step


@pytest.mark.parametrize("sizes", MESHES, ids=str)
def test_training_is_the_same_on_every_mesh(sizes):
    losses, gradients, state, _ = train(sizes)
    expected_losses, expected_gradients, expected, _ = train((1, 1, 1))
    assert abs(losses[-1] - losses[0]) > 1e-2  # it does learn, and so could differ
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    largest = max(np.abs(x).max() for x in expected_gradients.values())
    for path, value in expected_gradients.items():
        # Adding to every key alike has no effect: that gradient is zero but for noise.
        size = largest if path.endswith("key/bias") else np.abs(value).max()
        assert np.abs(gradients[path] - value).max() <= 1e-5 * size, path
    for tree in ("params", "ema"):
        found = trees.flatten(getattr(state, tree))
        for path, value in trees.flatten(getattr(expected, tree)).items():
            assert np.abs(np.asarray(found[path]) - value).max() <= 1e-5, path


@pytest.mark.parametrize("sizes", [(1, 1, 1), *MESHES], ids=str)
def test_the_second_step_does_not_compile_and_nothing_moves(sizes):
    """Without jit_update the compiler splits some biases, and compiles step 2 again."""
    _, _, state, step = train(sizes)
    assert step._cache_size() == 1
    expected = trees.flatten(tree_shardings(state, make_mesh(*sizes)))
    for path, leaf in trees.flatten(state).items():
        assert leaf.sharding == expected[path], path


@pytest.mark.parametrize("sizes", [(8, 1, 1), (2, 4, 1)], ids=str)
def test_zero_trains_the_same_with_a_share_of_the_state(sizes):
    losses, _, state, step = train(sizes, ZERO)
    np.testing.assert_allclose(losses, train((1, 1, 1))[0], rtol=1e-5)
    assert step._cache_size() == 1
    moments = jax.tree.leaves(state.opt_state)
    whole = sum(x.nbytes for x in moments)
    assert bytes_per_device(moments) <= 0.2 * whole
    plain = train(sizes)[2]
    assert bytes_per_device(plain.opt_state) > bytes_per_device(moments)
    assert bytes_per_device(plain.params) == bytes_per_device(state.params)


def test_the_tensor_axis_splits_the_products_of_a_block():
    state = train((2, 2, 2))[2]
    paths = trees.flatten(state.params)
    for name in ("attention/query/kernel", "attention/out/kernel", "mlp/in/kernel"):
        leaf = paths[f"image/encoder/block_0/{name}"]
        assert leaf.addressable_shards[0].data.size == leaf.size // 4, name


def test_a_fresh_state_is_made_in_its_shards():
    """Parameters, momentum and average: each device holds about an eighth of them."""
    mesh = make_mesh(1, 8, 1)
    state = create_sharded(make_tiny_state, mesh)
    leaves = jax.tree.leaves(state)
    assert bytes_per_device(state) <= 0.2 * sum(x.nbytes for x in leaves)
    for found, expected in zip(leaves, jax.tree.leaves(first_state()), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    shapes = jax.tree.leaves(state_shapes(make_tiny_state, mesh))
    assert [x.sharding for x in shapes] == [x.sharding for x in leaves]


def test_the_old_state_gives_its_memory_to_the_new_one():
    mesh = make_mesh(2, 4, 1)
    tree = {"kernel": jnp.ones((128, 64)), "bias": jnp.ones(64)}
    state = jax.device_put(tree, tree_shardings(tree, mesh))
    step = jit_update(lambda s, x: (jax.tree.map(lambda a: a + x, s), {}), state)
    new, _ = step(state, 1.0)
    assert state["kernel"].is_deleted() and state["bias"].is_deleted()
    assert new["kernel"][0, 0] == 2

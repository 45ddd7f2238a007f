"""Saved and restored bit for bit, on any mesh; and what is said when it cannot be."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from vlp_jax.checkpoint import description
from vlp_jax.checkpoint.storage import (
    CheckpointStore,
    committed_steps,
    find_checkpoint,
    restore,
    restore_item,
)
from vlp_jax.core.errors import ConfigError, RunError
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


@pytest.mark.parametrize(
    ("saved_on", "restored_on"),
    [
        ("fsdp", "fsdp"),
        ("fsdp", "one device"),
        ("one device", "fsdp"),
        ("fsdp", "eight copies"),
        ("eight copies", "one device"),
    ],
)
def test_restored_bit_for_bit_in_the_shards_asked_for(tmp_path, saved_on, restored_on):
    mesh = meshes()[restored_on]
    save(tmp_path, 3, mesh=meshes()[saved_on])
    expected = {item: like(mesh, tree) for item, tree in items(mesh).items()}
    found = restore(find_checkpoint(tmp_path), expected)
    assert_same(found, items(mesh))
    for got, want in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        assert got.sharding.is_equivalent_to(want.sharding, got.ndim)
    kernel = found["model"]["params"]["kernel"]
    parts = {shard.data.shape for shard in kernel.addressable_shards}
    assert parts == {(64, 32) if restored_on == "fsdp" else (64, 128)}


def test_the_state_may_change_while_it_is_being_saved(tmp_path):
    """The next step donates the arrays; the checkpoint holds those of its own step."""
    mesh = meshes()["one device"]
    state = jax.device_put({"x": jnp.zeros((1024, 1024))}, NamedSharding(mesh, P()))
    step = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    store = CheckpointStore(tmp_path, keep=10)
    for number in range(1, 5):
        state = step(state)
        store.save(number, {"model": state}, {})
    store.close()
    for number in range(1, 5):
        folder = tmp_path / "checkpoints" / str(number)
        found = restore_item(folder, "model", like(mesh, state))
        assert (np.asarray(found["x"]) == number).all()


def test_what_lies_beside_the_weights_comes_back(tmp_path):
    save(tmp_path, 3)
    folder = find_checkpoint(tmp_path)
    found = description.read_folder(folder / description.FOLDER)
    assert found.items() >= FILES.items()
    assert description.read_json(folder, "config.json") == {"seed": 1}
    with pytest.raises(ConfigError, match="not a checkpoint of vlp_jax.*progress.json"):
        description.read_json(folder, "progress.json")


# ---- what does not fit


def refused(tmp_path, change) -> str:
    mesh = meshes()["one device"]
    save(tmp_path, 3, mesh=mesh)
    values = tree(mesh)
    change(values)
    with pytest.raises(ConfigError) as caught:
        restore_item(find_checkpoint(tmp_path), "model", like(mesh, values))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_shape(tmp_path):
    def change(values):
        values["params"]["kernel"] = jnp.zeros((48, 128))

    said = refused(tmp_path, change)
    assert "1 wrong shape: params/kernel (expected [48, 128], got [64, 128])" in said
    assert "missing" not in said and "unexpected" not in said and "dtype" not in said
    assert said.endswith("Use the settings that it was saved with, or another workdir")


def test_another_dtype_is_not_cast_in_silence(tmp_path):
    def change(values):
        values["params"]["half"] = jnp.zeros((256, 32), jnp.float32)

    said = refused(tmp_path, change)
    assert "1 wrong dtype: params/half (expected float32, got bfloat16)" in said
    assert "shape" not in said


def test_missing_and_unexpected_paths(tmp_path):
    def change(values):
        del values["params"]["special"]
        values["params"]["bias"] = jnp.zeros(3)

    said = refused(tmp_path, change)
    assert "1 missing: params/bias; 1 unexpected: params/special" in said


def test_an_item_more_or_less(tmp_path):
    mesh = meshes()["one device"]
    save(tmp_path, 3, mesh=mesh)
    wanted = {item: like(mesh, values) for item, values in items(mesh).items()}
    for other in ({"model": wanted["model"]}, wanted | {"ema": wanted["model"]}):
        with pytest.raises(ConfigError, match="holds model, training, but this run"):
            restore(find_checkpoint(tmp_path), other)


# ---- which step is meant


def test_a_workdir_means_its_newest_step(tmp_path):
    save(tmp_path, 9, 10, 100)
    folder = tmp_path / "checkpoints"
    assert find_checkpoint(tmp_path) == folder / "100"
    assert find_checkpoint(str(tmp_path)) == folder / "100"
    assert find_checkpoint(folder / "9") == folder / "9"
    assert committed_steps(tmp_path) == [9, 10, 100]


def test_only_the_newest_steps_are_kept(tmp_path):
    save(tmp_path, 1, 2, 3, 4, keep=2)
    assert committed_steps(tmp_path) == [3, 4]


@pytest.mark.parametrize("made", [[], ["checkpoints"], ["photos", "checkpoints/notes"]])
def test_no_checkpoint(tmp_path, made):
    for name in made:
        (tmp_path / name).mkdir(parents=True)
    assert committed_steps(tmp_path) == []
    with pytest.raises(ConfigError) as caught:
        find_checkpoint(tmp_path)
    assert f"no checkpoint at {tmp_path}; expected the workdir of" in str(caught.value)


def test_nothing_at_all(tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint at .*nowhere"):
        find_checkpoint(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_step_left_half_written_is_ignored_and_cleaned_away(tmp_path):
    save(tmp_path, 3)
    folder = tmp_path / "checkpoints"
    torn = folder / "7.orbax-checkpoint-tmp"
    shutil.copytree(folder / "3", torn)
    shutil.rmtree(torn / "training")
    assert find_checkpoint(tmp_path) == folder / "3"
    assert committed_steps(tmp_path) == [3]
    save(tmp_path, 7)
    assert committed_steps(tmp_path) == [3, 7]
    assert not torn.exists()
    assert find_checkpoint(tmp_path) == folder / "7"


def test_damaged_files_are_an_explained_error(tmp_path):
    save(tmp_path, 3)
    folder = find_checkpoint(tmp_path)
    expected = like(meshes()["fsdp"], items(meshes()["fsdp"])["model"])
    for path in (folder / "model").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RunError, match=r"/3 is damaged: model .*Remove that folder"):
        restore_item(folder, "model", expected)
    (folder / "description" / "config.json").write_text('{"seed":')
    with pytest.raises(RunError, match="damaged: description/config.json is no JSON"):
        description.read_json(folder, "config.json")

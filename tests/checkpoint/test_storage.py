"""Saved and restored bit for bit, on any mesh; and what is said when it cannot be."""

import errno
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tests.checkpoint.saved import (
    FILES,
    assert_same,
    items,
    like,
    meshes,
    save,
    tree,
)
from vlp_jax.checkpoint import description, storage
from vlp_jax.checkpoint.steps import committed_steps, find_checkpoint
from vlp_jax.checkpoint.storage import (
    CheckpointStore,
    kept_steps,
    restore,
    restore_item,
)
from vlp_jax.core.errors import ConfigError, RunError


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


# ---- which steps stay


def test_only_the_newest_steps_are_kept(tmp_path):
    save(tmp_path, 1, 2, 3, 4, keep=2)
    assert committed_steps(tmp_path) == [3, 4]
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"3", "4"}


KEPT = {
    "the newest": ({"keep": 2}, {40, 45}),
    "every twentieth": ({"keep": 1, "keep_every": 20}, {20, 40, 45}),
    "the best": ({"keep": 1, "scores": {5: 0.1, 10: 0.7, 40: 0.3}}, {10, 45}),
    "the newer of two": ({"keep": 1, "scores": {5: 0.7, 10: 0.7}}, {10, 45}),
    "all of them": (
        {"keep": 1, "keep_every": 15, "scores": {35: 1.0}},
        {15, 30, 35, 45},
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_which_steps_stay(case):
    given, expected = KEPT[case]
    steps = list(range(5, 50, 5))
    assert kept_steps(steps, **({"keep_every": None, "scores": {}} | given)) == expected


@pytest.mark.parametrize(
    ("metric", "best"), [("retrieval/recall", 2), ("loss", 3), ("unheard of", None)]
)
def test_the_best_step_stays(tmp_path, metric, best):
    store = CheckpointStore(tmp_path, keep=1, keep_best=metric)
    # step 5 was not evaluated
    scores = {1: (0.2, 2.0), 2: (0.9, 3.0), 3: (0.5, 1.0), 4: (0.5, 1.5), 5: None}
    for step, found in scores.items():
        files = dict(FILES)
        if found:
            named = dict(zip(("retrieval/recall", "loss"), found, strict=True))
            files[description.SCORES] = description.to_json(named)
        store.save(step, {"model": {"x": jnp.zeros(3)}}, files)
    store.close()
    assert committed_steps(tmp_path) == ([best, 5] if best else [5])


@pytest.mark.parametrize(
    "name", ["7.saving", "7.saving.orbax-checkpoint-tmp", "7.deleted"]
)
def test_what_a_crash_leaves_is_ignored_and_cleaned_away(tmp_path, name):
    save(tmp_path, 3)
    folder = tmp_path / "checkpoints"
    torn = folder / name
    shutil.copytree(folder / "3", torn)
    shutil.rmtree(torn / "training")
    assert find_checkpoint(tmp_path) == folder / "3"
    assert committed_steps(tmp_path) == [3]
    save(tmp_path, 7)
    assert committed_steps(tmp_path) == [3, 7]
    assert not torn.exists()
    assert find_checkpoint(tmp_path) == folder / "7"


def test_what_cannot_be_read_is_an_explained_error(tmp_path):
    """What the manifest has found to be good may still go before it is read."""
    save(tmp_path, 3)
    folder = find_checkpoint(tmp_path)
    expected = like(meshes()["fsdp"], items(meshes()["fsdp"])["model"])
    for path in (folder / "model").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RunError, match=r"/3 is damaged: model .*Remove that folder"):
        restore_item(folder, "model", expected)


# ---- what cannot be written


@pytest.mark.fault("F8")
def test_a_save_that_fails_leaves_the_older_step(tmp_path, monkeypatch):
    """At once, and in the background: then the run hears of it when it next calls."""
    values = {"model": {"x": jnp.zeros(3)}}
    store = CheckpointStore(tmp_path, keep=2)
    store.save(3, values, FILES)
    store.wait()
    intact = r"; step 3 is intact\. Make room, "
    with pytest.raises(RunError, match=rf"step 5 could .*\(File exists\){intact}"):
        store.save(5, values, {"a": b"", "a/b": b""})

    def full(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage, "write_manifest", full)
    for heard in (store.wait, lambda: store.save(9, values, FILES), store.close):
        store.save(7, values, FILES)
        with pytest.raises(RunError, match=rf"step 7 .*\(No space left.*\){intact}"):
            heard()
    monkeypatch.undo()
    save(tmp_path, 7)
    assert committed_steps(tmp_path) == [3, 7]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "checkpoints").touch()
    with pytest.raises(
        RunError, match="checkpoints cannot be written to .*File exists"
    ):
        CheckpointStore(tmp_path, keep=1)

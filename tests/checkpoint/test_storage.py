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

from vlp_jax.checkpoint import description, storage
from vlp_jax.checkpoint.steps import (
    committed_steps,
    find_checkpoint,
    newest_good,
    read_checkpoint,
    set_aside,
)
from vlp_jax.checkpoint.storage import (
    CheckpointStore,
    kept_steps,
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
    (folder / "description" / "config.json").write_text('{"seed":')
    with pytest.raises(RunError, match="damaged: description/config.json is no JSON"):
        description.read_json(folder, "config.json")


# ---- damage


def flip(path) -> None:
    """Turns one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def largest(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return max(files, key=lambda path: path.stat().st_size)


@pytest.mark.fault("F7")
def test_a_damaged_step_is_named_and_the_one_before_it_used(tmp_path, capsys):
    save(tmp_path, 3, 5, 7)
    folder = tmp_path / "checkpoints"
    flipped = largest(folder / "7" / "model")
    flip(flipped)
    (folder / "5" / "manifest.json").unlink()
    assert find_checkpoint(tmp_path) == folder / "3"
    said = capsys.readouterr().out.splitlines()
    name = flipped.relative_to(folder / "7")
    assert said == [
        f"warning: checkpoint {folder}/7 is damaged ({name} has another content than "
        "was written); step 3 is used instead",
        f"warning: checkpoint {folder}/5 is damaged (manifest.json cannot be read: No "
        "such file or directory); step 3 is used instead",
    ]
    find_checkpoint(tmp_path)
    assert capsys.readouterr().out == ""  # a program that looks twice says it once


@pytest.mark.fault("F7")
def test_a_damaged_step_that_was_named_is_refused(tmp_path):
    save(tmp_path, 3, 5)
    folder = tmp_path / "checkpoints" / "5"
    (folder / "description" / "tokenizer" / "merges.txt").unlink()
    said = "/5 is damaged .description/tokenizer/merges.txt is missing.. Restore"
    with pytest.raises(RunError, match=said):
        find_checkpoint(folder)


def test_only_what_is_read_has_to_be_good(tmp_path):
    save(tmp_path, 3)
    flip(largest(tmp_path / "checkpoints" / "3" / "training"))
    assert find_checkpoint(tmp_path).name == "3"
    with pytest.raises(
        RunError, match="no checkpoint in .* is intact .step 3: training/"
    ):
        newest_good(tmp_path)


@pytest.mark.fault("F7")
def test_strict_does_not_look_for_another_step(tmp_path):
    save(tmp_path, 3, 5)
    assert newest_good(tmp_path, strict=True) == (5, {})
    flip(tmp_path / "checkpoints" / "5" / "manifest.json")
    assert newest_good(tmp_path)[0] == 3
    with pytest.raises(RunError, match="newest checkpoint.*step 5: manifest.json has"):
        newest_good(tmp_path, strict=True)


def test_damaged_steps_are_set_aside_under_names_of_their_own(tmp_path, capsys):
    save(tmp_path, 3, 5)
    folder = tmp_path / "checkpoints"
    for number in ("", "-2"):
        flip(largest(folder / "5"))
        set_aside(tmp_path, newest_good(tmp_path)[1])
        assert f"kept      {folder}/5.damaged{number} (" in capsys.readouterr().out
        assert (folder / f"5.damaged{number}" / "model").is_dir()
        assert committed_steps(tmp_path) == [3]
        save(tmp_path, 5)
    assert committed_steps(tmp_path) == [3, 5]


# ---- while training goes on beside


@pytest.mark.fault("F18")
def test_a_step_that_is_deleted_while_it_is_read(tmp_path, capsys):
    """The newest one there is now is read in its place."""
    save(tmp_path, 3)
    seen = []

    def read(folder):
        seen.append(folder.name)
        if len(seen) == 1:
            save(tmp_path, 5, keep=1)
        return restore_item(folder, "model", like(mesh, tree(mesh)))

    mesh = meshes()["one device"]
    assert_same(read_checkpoint(tmp_path, read), tree(mesh))
    assert seen == ["3", "5"]
    assert "step 3 was deleted while it was read; looking" in capsys.readouterr().out
    gone = tmp_path / "checkpoints" / "3"
    with pytest.raises(ConfigError, match="no checkpoint at .*/3;"):
        read_checkpoint(gone, read)
    with pytest.raises(RunError, match="/3 was deleted while it was read"):
        read(gone)


def test_what_is_wrong_with_a_step_that_is_there_is_said(tmp_path):
    save(tmp_path, 3)

    def read(folder):
        raise RunError("wrong")

    with pytest.raises(RunError, match="wrong"):
        read_checkpoint(tmp_path, read)


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

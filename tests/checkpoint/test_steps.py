"""Which step a path means, and what is done about one that is damaged or goes away."""

import pytest

from tests.checkpoint.saved import (
    assert_same,
    flip,
    largest,
    like,
    meshes,
    save,
    tree,
)
from vlp_jax.checkpoint.manifest import write_manifest
from vlp_jax.checkpoint.steps import (
    committed_steps,
    find_checkpoint,
    kept_step,
    newest_good,
    read_checkpoint,
    set_aside,
    step_folder,
)
from vlp_jax.checkpoint.storage import restore_item
from vlp_jax.core.errors import ConfigError, RunError


def steps_on_disk(workdir, *steps: int):
    """Folders that no array is needed for; returns the one that holds them."""
    for step in steps:
        step_folder(workdir, step).mkdir(parents=True)
        (step_folder(workdir, step) / "note").write_text("as it was written")
        write_manifest(step_folder(workdir, step))
    return workdir / "checkpoints"


def test_a_workdir_means_its_newest_step(tmp_path):
    save(tmp_path, 9, 10, 100)
    folder = tmp_path / "checkpoints"
    assert find_checkpoint(tmp_path) == folder / "100"
    assert find_checkpoint(str(tmp_path)) == folder / "100"
    assert find_checkpoint(folder / "9") == folder / "9"
    assert committed_steps(tmp_path) == [9, 10, 100]


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


# ---- damage


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


def test_only_plain_numbers_are_steps(tmp_path):
    folder = steps_on_disk(tmp_path, 10, 9)
    for name in ("8.saving", "7.deleted", "6.damaged", "notes", "-5"):
        (folder / name).mkdir()
    assert committed_steps(tmp_path) == committed_steps(str(tmp_path)) == [9, 10]
    assert newest_good(tmp_path) == (10, {})
    assert step_folder(tmp_path, 9) == folder / "9"


def test_a_relative_workdir_gives_absolute_folders(tmp_path, monkeypatch):
    folder = steps_on_disk(tmp_path, 4)
    monkeypatch.chdir(tmp_path)
    assert step_folder(".", 4) == find_checkpoint(".") == folder / "4"


def test_all_steps_that_are_newer_and_damaged_are_told(tmp_path):
    folder = steps_on_disk(tmp_path, 1, 2, 3)
    (folder / "2" / "note").unlink()
    (folder / "3" / "note").write_text("longer than it was written")
    expected = {3: "note has 26 bytes instead of 17", 2: "note is missing"}
    assert newest_good(tmp_path) == (1, expected)
    assert newest_good(tmp_path / "nothing here") == (0, {})


def test_a_step_is_kept_where_it_is_good(tmp_path, capsys):
    folder = steps_on_disk(tmp_path, 1, 2, 3, 4)
    assert kept_step(tmp_path, 2) == 2  # not the newest one, but the one asked for
    flip(folder / "2" / "note")
    assert kept_step(tmp_path, 2) == 1  # and never one that was saved later
    (folder / "3").rename(folder / "3.deleted")
    assert kept_step(tmp_path, 3) == 1
    said = capsys.readouterr().out
    assert f"warning: checkpoint {folder}/2 is damaged (note has another" in said
    assert f"warning: checkpoint {folder}/3 is damaged (it is gone)" in said
    assert said.count("step 1 is used instead") == 2
    flip(folder / "1" / "note")
    with pytest.raises(RunError, match="is intact"):
        kept_step(tmp_path, 3)
    assert kept_step(tmp_path, 4) == 4


def test_a_step_to_keep_that_is_gone_with_all_others(tmp_path):
    folder = steps_on_disk(tmp_path, 1)
    (folder / "1").rename(folder / "1.deleted")
    with pytest.raises(RunError, match=f"step 1 is gone from {folder}, and"):
        kept_step(tmp_path, 1)

"""What lies beside the weights comes back, and damage to it is explained."""

import pytest

from tests.checkpoint.saved import FILES, save
from vlp_jax.checkpoint import description
from vlp_jax.checkpoint.steps import find_checkpoint
from vlp_jax.core.errors import ConfigError, RunError


def test_what_lies_beside_the_weights_comes_back(tmp_path):
    save(tmp_path, 3)
    folder = find_checkpoint(tmp_path)
    found = description.read_folder(folder / description.FOLDER)
    assert found.items() >= FILES.items()
    assert description.read_json(folder, "config.json") == {"seed": 1}
    with pytest.raises(ConfigError, match="not a checkpoint of vlp_jax.*progress.json"):
        description.read_json(folder, "progress.json")


def test_a_file_that_is_no_json_is_damage(tmp_path):
    (tmp_path / description.FOLDER).mkdir()
    (tmp_path / description.FOLDER / "config.json").write_text('{"seed":')
    with pytest.raises(RunError, match="damaged: description/config.json is no JSON"):
        description.read_json(tmp_path, "config.json")


def test_a_folder_is_read_with_all_below_it(tmp_path):
    for name in ("b/c/deep.txt", "a.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() + b"\xff")
    (tmp_path / "empty").mkdir()
    found = description.read_folder(str(tmp_path))
    assert found == {"a.bin": b"a.bin\xff", "b/c/deep.txt": b"b/c/deep.txt\xff"}
    assert list(found) == ["a.bin", "b/c/deep.txt"]
    assert description.read_folder(tmp_path / "empty") == {}


def test_json_has_one_form():
    """Keys in order: the same content is the same bytes, whoever wrote it."""
    one, other = {"b": [1, 2], "a": None}, {"a": None, "b": [1, 2]}
    expected = b'{\n  "a": null,\n  "b": [\n    1,\n    2\n  ]\n}'
    assert description.to_json(one) == description.to_json(other) == expected


def test_files_are_written_below_their_folder_by_one_process(tmp_path, monkeypatch):
    handler, saved = description.FilesHandler(), description.SaveFiles(FILES)
    handler.save(tmp_path / "first", saved)
    assert handler.restore(tmp_path / "first") == FILES
    monkeypatch.setattr(description.jax, "process_index", lambda: 1)
    handler.save(tmp_path / "second", saved)
    assert not (tmp_path / "second").exists()

"""What the command line names: pictures, texts, and where the index is kept."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from tests.showing.few_pictures import Colours, save
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.showing import opening


def test_a_folder_is_searched_all_the_way_down(tmp_path):
    save(tmp_path, "red.png")
    save(tmp_path / "a" / "b", "blue.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    found = opening.open_pictures(str(tmp_path))
    assert found.names == ("a/b/blue.jpg", "red.png")
    size = (tmp_path / "red.png").stat().st_size
    assert found.stamp(1) == (size, (tmp_path / "red.png").stat().st_mtime_ns)
    assert len(found.read(1)) == size
    (tmp_path / "red.png").unlink()
    assert found.stamp(1) == (-1, -1)


def test_folders_without_pictures(tmp_path):
    with pytest.raises(ConfigError, match="--images=nowhere: no such folder; name"):
        opening.open_pictures("nowhere")
    with pytest.raises(ConfigError, match="no pictures in it or below; looked for"):
        opening.open_pictures(str(tmp_path))


def test_digit_scenes_come_along():
    found = opening.open_pictures(None)
    assert len(found.names) == len(found.suggestions.texts) == 500
    assert found.read(7).shape == (48, 48, 3) and found.names[7] == "scene 7"
    assert found.suggestions.example in found.suggestions.texts
    assert "--images=DIR" in found.suggestions.note
    assert found.identity == opening.open_pictures(None).identity


def test_texts_of_a_file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffa dog\r\n\r\n  zwölf cats \n".encode())
    assert opening.read_texts(str(path)) == ("a dog", "zwölf cats")
    assert opening.read_texts(None) == ()
    path.write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError, match="no UTF-8 text .*at byte 3.*; save it as"):
        opening.read_texts(str(path))
    path.write_text(" \n")
    with pytest.raises(ConfigError, match="is empty; expected one text a line"):
        opening.read_texts(str(path))
    with pytest.raises(ConfigError, match="cannot be read: Is a directory; name"):
        opening.read_texts(str(tmp_path))


@pytest.fixture
def encoder():
    found = Colours("embed")
    parameters = {"w": np.zeros(2, np.float32)}
    found.model = SimpleNamespace(parameters=parameters, description="8 pixels")
    return found


def test_where_the_index_lies(encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save(tmp_path / "mine", "red.png", "blue.png")
    (tmp_path / "mine" / "empty.png").write_bytes(b"")
    pictures = opening.open_pictures(str(tmp_path / "mine"))
    views = opening.open_views(encoder, pictures, ("red", "blue"), None)
    (place,) = (tmp_path / "cache" / "vlp_jax" / "pictures").iterdir()
    said = capsys.readouterr().out
    assert "3 of " in said and f"0 known, 2 new, in {place}" in said
    assert "left out  1 image_empty" in said
    assert opening.notes(views) == ("Left out: 1 image_empty.",)
    opening.open_index(encoder, pictures, None)
    assert "2 known, 0 new" in capsys.readouterr().out

    encoder.model.parameters["w"] += 1
    opening.open_index(encoder, pictures, str(tmp_path / "kept"))
    assert "0 known, 2 new" in capsys.readouterr().out
    assert len(os.listdir(tmp_path / "kept")) == 1
    assert sorted(os.listdir(tmp_path / "mine")) == ["blue.png", "empty.png", "red.png"]


def test_no_picture_can_be_read(encoder, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    pictures = opening.open_pictures(str(tmp_path))
    with pytest.raises(RunError, match="none of the 1 pictures of .* can be read"):
        opening.open_index(encoder, pictures, str(tmp_path / "index"))

"""An index is made once, completed when pictures change, and survives a stop."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.processes import wait_until
from tests.showing.few_pictures import Colours, save
from vlp_jax.core.errors import ConfigError
from vlp_jax.showing.index import Indexer, Parts, index_name
from vlp_jax.showing.pictures import PictureFolder

ROOT = Path(__file__).parents[2]
NAMES = ("blue.png", "green_1.png", "green_2.png", "red.png", "red_2.png")


class Stopped(Exception):
    pass


def build(folder, place, model=None, seconds=20.0):
    """(the index of the pictures in a folder, how many the model encoded)."""
    model = model or Colours()
    encode = model.encode_image
    indexer = Indexer(model.prepare_image, encode, model.batch_size, seconds)
    found = indexer.build(PictureFolder(str(folder)), place)
    return found, model.encoded


def files(place) -> list[str]:
    return sorted(path.suffix for path in place.iterdir())


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "pictures", *NAMES)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "kept" / "index"


def test_it_finds_what_is_near(folder, place):
    found, _ = build(folder, place)
    assert found.numbers == [0, 1, 2, 3, 4] and found.encoded == 5
    assert found.embeddings.dtype == np.float32 and found.embeddings.shape == (5, 3)
    assert found.nearest(np.float32([1, 0, 0]), 3) == [(3, 1.0), (4, 1.0), (0, 0.0)]
    assert found.nearest(np.float32([0, 1, 0]), 1) == [(1, 1.0)]


def test_a_second_start_encodes_nothing(folder, place):
    first, encoded = build(folder, place)
    second, again = build(folder, place)
    assert (encoded, again, second.encoded) == (5, 0, 0)
    np.testing.assert_array_equal(second.embeddings, first.embeddings)
    assert files(place) == [".json", ".npy"]


def test_only_what_changed_is_encoded(folder, place):
    build(folder, place)
    save(folder, "blue_new.png")
    (folder / "green_1.png").unlink()
    (folder / "red.png").write_bytes((folder / "blue.png").read_bytes())
    os.utime(folder / "red_2.png", (1, 1))
    found, encoded = build(folder, place)
    assert encoded == 3  # the new one, and those of another size or time
    names = PictureFolder(str(folder)).names
    blue = [names[number] for number, _ in found.nearest(np.float32([0, 0, 1]), 3)]
    assert blue == ["blue.png", "blue_new.png", "red.png"]
    (listed,) = place.glob("*.json")
    assert [name for name, *_ in json.loads(listed.read_text())] == list(names)
    assert build(folder, place)[1] == 0


def test_a_stop_keeps_what_was_encoded(folder, place):
    model = Colours()
    encode = model.encode_image

    def encode_once(pictures):
        if model.encoded:
            raise Stopped
        return encode(pictures)

    model.encode_image = encode_once
    with pytest.raises(Stopped):
        build(folder, place, model)
    assert files(place) == [".json", ".npy"]
    found, encoded = build(folder, place)
    assert (encoded, len(found.numbers)) == (3, 5)
    assert files(place) == [".json", ".npy"]


SLOW = """
import sys, time
from pathlib import Path
from tests.showing.few_pictures import Colours
from vlp_jax.showing.index import Indexer
from vlp_jax.showing.pictures import PictureFolder

class Slow(Colours):
    def encode_image(self, pictures):
        time.sleep(60 if self.encoded else 0)
        return super().encode_image(pictures)

slow = Slow()
indexer = Indexer(slow.prepare_image, slow.encode_image, 2, seconds=0)
indexer.build(PictureFolder(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_kill_keeps_the_parts_that_were_written(folder, place):
    command = [sys.executable, "-c", SLOW, str(folder), str(place)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_until(lambda: list(place.glob("*.json")), process, every=0.05)
    finally:
        process.kill()
        process.wait()
    found, encoded = build(folder, place)
    assert (encoded, len(found.numbers)) == (3, 5)


@pytest.mark.parametrize(
    "damage",
    [
        lambda part: part.with_suffix(".npy").unlink(),
        lambda part: part.with_suffix(".npy").write_bytes(b"\x93NUMPY"),
        lambda part: os.truncate(part.with_suffix(".npy"), 140),
        lambda part: part.write_text(part.read_text()[:-9]),
        lambda part: part.write_text("[[[]]]"),
        lambda part: part.write_text("7"),
        lambda part: part.write_text("[]"),
        lambda part: part.unlink(),  # as after a kill before it was written
    ],
)
def test_a_part_that_is_damaged_is_made_again(folder, place, damage):
    expected, _ = build(folder, place)
    (part,) = place.glob("*.json")
    damage(part)
    found, encoded = build(folder, place)
    assert encoded == 5
    np.testing.assert_array_equal(found.embeddings, expected.embeddings)
    assert build(folder, place)[1] == 0


def test_pictures_that_cannot_be_read_are_counted(folder, place):
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.png").write_text("no picture")
    (folder / "half.png").write_bytes((folder / "red.png").read_bytes()[:50])
    (folder / "gone.png").symlink_to("nowhere.png")
    found, _ = build(folder, place)
    assert found.left_out == {
        "image_empty": 1,
        "image_unreadable": 1,
        "image_truncated": 1,
        "image_missing": 1,
    }
    names = PictureFolder(str(folder)).names
    assert tuple(names[number] for number in found.numbers) == NAMES


def test_nothing_that_can_be_read(tmp_path, place):
    (tmp_path / "empty.png").write_bytes(b"")
    found, _ = build(tmp_path, place)
    assert found.numbers == [] and found.nearest(np.float32([1]), 3) == []


def test_names_that_are_no_text(folder, place):
    os.rename(os.fsencode(folder / "red.png"), os.fsencode(folder) + b"/red\xff.png")
    build(folder, place)
    assert build(folder, place)[1] == 0


def test_other_weights_have_another_index():
    weights = {"a": np.zeros(3, np.float32), "b": np.ones((2, 2), np.float32)}
    name = index_name(weights, "48 pixels", "folder x")
    assert index_name(dict(reversed(weights.items())), "48 pixels", "folder x") == name
    others = [
        index_name(weights | {"a": np.float32([0, 0, 1e-30])}, "48 pixels", "folder x"),
        index_name({"a": weights["a"], "c": weights["b"]}, "48 pixels", "folder x"),
        index_name(weights, "64 pixels", "folder x"),
        index_name(weights, "48 pixels", "folder y"),
        index_name(weights, "48 pixel", "sfolder x"),
    ]
    assert len({name, *others}) == 6


def test_where_nothing_can_be_written(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="cannot be kept in .*; name .* --index=DIR"):
        build(folder, tmp_path / "file" / "index")

    def full(*_):
        raise OSError(28, "No space left on device")

    parts = Parts(tmp_path / "index")
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ConfigError, match="index: No space left on device; name"):
        parts.add({("a.png", 1, 1): np.zeros(3, np.float32)})
    assert list((tmp_path / "index").iterdir()) == []

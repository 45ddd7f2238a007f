"""Every change of every file of a step is noticed, the manifest's own included."""

import json
import random

import pytest

from vlp_jax.checkpoint.manifest import CHUNK, MANIFEST, damage, write_manifest

FILES = {
    "top": b"123456789",
    "model/arrays/0": bytes(range(256)) * 40,
    "model/arrays/empty": b"",
    "model/large": b"ab" * CHUNK,  # more than is read at a time
    "description/config.json": b"{}",
}


@pytest.fixture
def folder(tmp_path):
    """A step folder with its manifest."""
    for name, content in FILES.items():
        path = tmp_path / "7" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    write_manifest(tmp_path / "7")
    return tmp_path / "7"


def test_what_it_lists(folder):
    found = json.loads((folder / MANIFEST).read_text())
    assert found["files"].keys() == FILES.keys()
    assert found["files"]["top"] == {"crc32": "cbf43926", "size": 9}  # the check value
    assert found["files"]["model/arrays/empty"] == {"crc32": "00000000", "size": 0}
    assert damage(folder) == ""
    write_manifest(folder)
    assert json.loads((folder / MANIFEST).read_text()) == found


def test_it_may_be_moved_and_added_to(folder):
    moved = folder.rename(folder.with_name("other"))
    (moved / "notes.txt").write_text("mine")
    assert damage(moved) == ""


@pytest.mark.fault("F7")
@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_bit_a_byte_less_a_byte_more_or_no_file(folder, name):
    path = folder / name
    content = path.read_bytes()
    draw = random.Random(name)
    changes = {"cut": content[:-1], "longer": content + b"\0"}
    for _ in range(20 if content else 0):
        bit = draw.randrange(8 * len(content))
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        changes[f"bit {bit}"] = bytes(flipped)
    for what, changed in changes.items():
        if changed != content:  # an empty file cannot be cut
            path.write_bytes(changed)
            assert damage(folder).startswith(name), what
    path.unlink()
    assert damage(folder).startswith(name)
    path.write_bytes(content)
    assert damage(folder) == ""


@pytest.mark.fault("F7")
def test_every_single_bit_of_the_manifest(folder):
    path = folder / MANIFEST
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert damage(folder, ("none",)) == (
            "manifest.json has another content than was written"
        ), bit


def test_what_is_said(folder):
    (folder / "model/large").write_bytes(b"ab")
    (folder / "model/arrays/0").unlink()
    assert damage(folder) == "model/arrays/0 is missing (and 1 more)"
    (folder / "model/arrays/0").write_bytes(FILES["model/arrays/0"])
    assert damage(folder) == "model/large has 2 bytes instead of 2,097,152"
    (folder / "model/large").unlink()
    (folder / "model/large").mkdir()
    assert damage(folder) == "model/large cannot be read: Is a directory"
    (folder / MANIFEST).unlink()
    said = "manifest.json cannot be read: No such file or directory"
    assert damage(folder) == said


def test_some_items_alone(folder):
    (folder / "model/large").unlink()
    assert damage(folder, ("description",)) == ""
    assert damage(folder, ("model",)) == "model/large is missing"
    (folder / "top").unlink()
    assert damage(folder, ("description",)) == "top is missing"

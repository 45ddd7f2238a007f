"""Shards that we write: read back, resumed, and never mixed."""

import fcntl
import json
import os
import tarfile

import numpy as np
import pytest

from tests.data.tars import BLUE, RED, picture
from vlp_jax.core.errors import BadSample, ConfigError, RunError
from vlp_jax.core.types import Example
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.shards import writer as shard_writer
from vlp_jax.data.shards.writer import ShardWriter, members_of
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.data.sources.webdataset import WebDataset
from vlp_jax.data.transforms.image import decode_image


class Listed:
    """A source over a list; an exception in it is raised."""

    def __init__(self, *examples, name="listed"):
        self.examples, self.name, self.class_names = examples, name, ()
        self.fingerprint = {"all": digest(str(examples))}

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        if isinstance(self.examples[index], Exception):
            raise self.examples[index]
        return self.examples[index]


def example(number: int, image: bytes = RED) -> Example:
    return Example(image, (f"number {number}",), name=f"photos/{number}.jpg")


def tars(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def test_digit_scenes_are_read_back_with_all_that_is_known(tmp_path):
    scenes = DigitScenes(split="test", size=11, canvas=24)
    total = ShardWriter(scenes, tmp_path, shard_size=4, workers=2).run()
    assert (total.samples, total.bad) == (11, {})
    assert sorted(tars(tmp_path)) == ["00000.tar", "00001.tar", "00002.tar"]
    assert len(list(tmp_path.glob("*.index"))) == 3
    found = WebDataset(str(tmp_path))
    assert len(found) == 11 and found.blocks.tolist() == [4, 8, 11]
    assert found.dropped == {}
    for number in range(11):
        ours, theirs = found[number], scenes[number]
        assert np.array_equal(np.asarray(decode_image(ours.image)), theirs.image)
        assert ours.captions == theirs.captions and ours.label == theirs.label
        assert ours.questions == theirs.questions
        assert [r.box for r in ours.regions] == [r.box for r in theirs.regions]
        masks = zip(ours.regions, theirs.regions, strict=True)
        assert all(np.array_equal(a.mask, b.mask) for a, b in masks)
    identity = json.loads((tmp_path / "prepare.json").read_text())
    assert identity["class_names"][:2] == ["zero", "one"] and identity["samples"] == 11


def test_members_that_any_tool_reads(tmp_path):
    source = Listed(
        Example(picture("red", "WEBP"), ("rot", "rouge"), (1.0, 2.0), name="a"),
        Example(picture("red", "PNG"), label=3),
    )
    ShardWriter(source, tmp_path).run()
    with tarfile.open(tmp_path / "00000.tar") as tar:
        content = {m.name: tar.extractfile(m).read() for m in tar}
        assert {(m.mtime, m.uid, m.gid, m.mode) for m in tar} == {(0, 0, 0, 0o644)}
    assert list(content) == [
        "000000000.webp",
        "000000000.txt",
        "000000000.json",
        "000000001.png",
        "000000001.json",
    ]
    assert content["000000000.webp"] == picture("red", "WEBP")
    assert content["000000000.txt"] == b"rot"
    assert json.loads(content["000000000.json"]) == {
        "vlp_jax": "1",
        "captions": ["rot", "rouge"],
        "caption_weights": [1.0, 2.0],
        "name": "a",
    }
    assert json.loads(content["000000001.json"]) == {"vlp_jax": "1", "label": 3}
    labelled = WebDataset(str(tmp_path), class_names=("a", "b", "c", "d"))
    assert labelled[1].captions == ("a photo of a d",) and labelled[1].label == 3


def test_what_cannot_be_used_is_counted_and_named(tmp_path):
    source = Listed(
        example(0),
        BadSample("caption_missing"),
        example(2, RED[:200]),
        example(3, b"<html>"),
        example(4, b""),
        example(5, BLUE),
        Example(np.zeros((4, 4, 4), np.uint8), ("x",)),
    )
    total = ShardWriter(source, tmp_path, shard_size=3).run()
    assert total.samples == 2
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == {
        "samples": 2,
        "left_out": {
            "caption_missing": 1,
            "image_empty": 1,
            "image_truncated": 1,
            "image_unreadable": 2,
        },
        "names": {
            "caption_missing": ["sample 1"],
            "image_empty": ["photos/4.jpg"],
            "image_truncated": ["photos/2.jpg"],
            "image_unreadable": ["photos/3.jpg", "sample 6"],
        },
    }
    found = WebDataset(str(tmp_path))
    assert [found[n].name for n in range(2)] == [
        "00000.tar/000000000",
        "00001.tar/000000005",
    ]
    unchecked = ShardWriter(source, tmp_path / "b", check=False).run()
    assert unchecked.samples == 3  # the truncated one begins as a picture does


def test_a_restart_goes_on_and_gives_the_same_bytes(tmp_path):
    source = Listed(*(example(n, (RED, BLUE)[n % 2]) for n in range(20)))
    ShardWriter(source, tmp_path / "whole", shard_size=3).run()

    class Dying(Listed):
        def __getitem__(self, index):
            if index == 10:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    dying = Dying(*source.examples)
    with pytest.raises(KeyboardInterrupt):
        ShardWriter(dying, tmp_path / "cut", shard_size=3, workers=1).run()
    assert sorted(tars(tmp_path / "cut")) == ["00000.tar", "00001.tar", "00002.tar"]
    (tmp_path / "cut" / "00003.tar.tmp").write_bytes(b"left by a kill")
    (tmp_path / "cut" / "00001.tar").unlink()
    writer = ShardWriter(source, tmp_path / "cut", shard_size=3, workers=4)
    assert writer.shards.missing() == [1, 3, 4, 5, 6]
    total = writer.run()
    assert total.samples == 20
    assert tars(tmp_path / "cut") == tars(tmp_path / "whole")
    assert not list((tmp_path / "cut").glob("*.tmp"))
    names = [WebDataset(str(tmp_path / d)).fingerprint for d in ("cut", "whole")]
    assert names[0] == names[1]


def test_a_folder_belongs_to_one_source_and_its_settings(tmp_path):
    source = Listed(*(example(n) for n in range(4)))
    ShardWriter(source, tmp_path / "a", shard_size=2).run()

    def refused(said, source=source, folder="a", **changed):
        with pytest.raises(ConfigError, match=said) as caught:
            ShardWriter(source, tmp_path / folder, **{"shard_size": 2} | changed)
        assert "\n" not in str(caught.value)

    refused("begun with other data.*shard_size 2", shard_size=3)
    refused("begun with other data.*1 changed: all", Listed(*[example(7)] * 4))
    refused("source 'listed'", Listed(*source.examples, name="another"))
    refused("check True", check=False)
    refused("settings.image_column None", settings={"image_column": "jpg"})
    refused("shard_size is 0", shard_size=0)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "00000.tar").write_bytes(b"")
    refused("holds shards that prepare has not begun", folder="b")
    (tmp_path / "a" / "prepare.json").write_text("[]")
    refused("prepare.json is damaged")
    (tmp_path / "file").touch()
    refused("cannot be written to", folder="file")


def test_two_at_once(tmp_path):
    source = Listed(example(0))
    with open(tmp_path / ".prepare.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another prepare is writing"):
            ShardWriter(source, tmp_path)
    assert not (tmp_path / "prepare.json").exists()
    assert ShardWriter(source, tmp_path).run().samples == 1


def test_a_full_disk_is_explained_and_leaves_no_half_shard(tmp_path, monkeypatch):
    source = Listed(*(example(n) for n in range(9)))
    writer = ShardWriter(source, tmp_path, shard_size=3, workers=1)
    add = tarfile.TarFile.addfile

    def full(self, entry, file):
        if entry.name.startswith("000000004"):
            raise OSError(28, "No space left on device")
        add(self, entry, file)

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(RunError, match="No space left on device; the same command"):
        writer.run()
    assert sorted(os.listdir(tmp_path)) == [
        ".prepare.lock",
        "00000.json",
        "00000.tar",
        "prepare.json",
    ]


def test_counts_that_cannot_be_written_are_explained(tmp_path):
    writer = ShardWriter(Listed(example(0)), tmp_path)
    (tmp_path / "summary.json").mkdir()
    with pytest.raises(RunError, match="summary.json.* cannot be read or written"):
        writer.run()
    (tmp_path / "summary.json").rmdir()
    assert ShardWriter(Listed(example(0)), tmp_path).run().samples == 1
    (tmp_path / "other" / "prepare.json").mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be written to: Is a directory"):
        ShardWriter(Listed(example(0)), tmp_path / "other")


def test_nothing_usable(tmp_path):
    total = ShardWriter(Listed(BadSample("image_empty")), tmp_path).run()
    assert total.samples == 0 and total.bad == {"image_empty": 1}


def test_odd_texts_and_regions_too_large_for_json(tmp_path, monkeypatch):
    odd = Example(RED, ("绿色",), name="photos/\udcff.jpg")
    members = members_of(odd)
    assert members["txt"].decode() == "绿色" and "绿色".encode() in members["json"]
    assert json.loads(members["json"])["name"] == odd.name
    monkeypatch.setitem(shard_writer.LIMITS, "caption", 40)
    with pytest.raises(BadSample, match="bytes of JSON"):
        members_of(odd)

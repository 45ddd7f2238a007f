"""Indices are made once, found again, and made anew when their shard changes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.data.tars import pairs, write_tar
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.shards import store as index_store
from vlp_jax.data.shards.store import cache_folder, open_indices


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vlp_jax" / "index"


@pytest.fixture
def made(monkeypatch):
    """The shards that were read to make an index."""
    urls = []
    make = index_store.index_tar

    def watched(url, file, size):
        urls.append(Path(url).name)
        return make(url, file, size)

    monkeypatch.setattr(index_store, "index_tar", watched)
    return urls


def shards(folder, count: int = 3) -> list[str]:
    return [
        write_tar(folder / f"{n}.tar", pairs(2 + n, start=10 * n)) for n in range(count)
    ]


def test_they_are_made_once_and_lie_beside_the_shards(tmp_path, made):
    urls = shards(tmp_path / "data")
    first = open_indices(urls, None)
    again = open_indices(urls, None)
    assert sorted(made) == ["0.tar", "1.tar", "2.tar"]
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == [
        name for n in range(3) for name in (f"{n}.tar", f"{n}.tar.index")
    ]
    for one, other in zip(first, again, strict=True):
        assert one.url == other.url and one.size == other.size
        found = [index.arrays() for index in (one, other)]
        assert all(np.array_equal(found[0][k], found[1][k]) for k in found[0])
    assert [len(i.arrays()["has"]) for i in again] == [2, 3, 4]
    assert not first[0].arrays()["offset"].flags.writeable


@pytest.mark.fault("F13")
def test_a_shard_that_changes_gets_another_index(tmp_path, made):
    urls = shards(tmp_path)
    before = open_indices(urls, None)
    made.clear()
    write_tar(tmp_path / "1.tar", pairs(3, start=20))  # as large as before
    os.utime(tmp_path / "1.tar", ns=(5, 5))
    after = open_indices(urls, None)
    assert made == ["1.tar"]
    assert before[1].about["crc"] != after[1].about["crc"]
    assert before[0].about["crc"] == after[0].about["crc"]


@pytest.mark.parametrize("damage", ["cut", "other", "empty", "header"])
def test_an_index_that_is_damaged_is_made_anew(tmp_path, made, damage):
    (url,) = shards(tmp_path, 1)
    open_indices([url], None)
    path = tmp_path / "0.tar.index"
    data = path.read_bytes()
    changed = {
        "cut": data[:-10],
        "other": b"vlp_jax tar index 0\n" + data[20:],
        "empty": b"",
        "header": data[:40] + b"\xff" * 20 + data[60:],
    }
    path.write_bytes(changed[damage])
    found = open_indices([url], None)
    assert made == ["0.tar", "0.tar"] and path.read_bytes() == data
    assert len(found[0].arrays()["has"]) == 2


def test_where_nothing_can_be_written_beside_it(tmp_path, cache, monkeypatch, made):
    """Permissions mean nothing to root, so writing beside a shard is made to fail."""
    write = index_store._write

    def refuse(place, data):
        if place.parent.name == "data":
            raise OSError(30, "Read-only file system")
        write(place, data)

    monkeypatch.setattr(index_store, "_write", refuse)
    urls = shards(tmp_path / "data", 2)
    assert all(Path(i.path).parent == cache for i in open_indices(urls, None))
    open_indices(urls, None)
    assert len(made) == 2 and cache_folder() == cache
    assert sorted(p.name[:6] for p in cache.iterdir()) == ["0.tar-", "1.tar-"]
    with pytest.raises(ConfigError, match="can be written nowhere.*set index"):
        write_tar(tmp_path / "0.tar", pairs(1))
        open_indices([str(tmp_path / "0.tar")], "/proc/nowhere")


def test_a_folder_of_ones_own_keeps_equal_names_apart(tmp_path, made):
    urls = [
        write_tar(tmp_path / d / "0.tar", pairs(n)) for n, d in ((1, "a"), (2, "b"))
    ]
    found = open_indices(urls, str(tmp_path / "kept"))
    assert [len(i.arrays()["has"]) for i in found] == [1, 2]
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert not list((tmp_path / "a").glob("*.index"))
    assert open_indices(urls, str(tmp_path / "kept")) and len(made) == 2


def test_no_half_written_index_is_left_behind(tmp_path, monkeypatch, cache):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ConfigError, match="No space left"):
        open_indices(shards(tmp_path / "data", 1), None)
    left = [p for folder in (tmp_path / "data", cache) for p in folder.iterdir()]
    assert [p.name for p in left] == ["0.tar"]


@pytest.mark.fault("F13")
def test_a_missing_shard_is_named(tmp_path):
    urls = [*shards(tmp_path, 2), str(tmp_path / "7.tar")]
    with pytest.raises(ConfigError, match=r"shard .*7\.tar: No such file"):
        open_indices(urls, None)
    (tmp_path / "1.tar").write_text("<html>404 Not Found</html>")
    with pytest.raises(ConfigError, match=r"1\.tar is no tar archive: .*<html>404"):
        open_indices(urls[:2], None)


CHILD = """
import sys
from vlp_jax.core import logs
from vlp_jax.data.shards.store import open_indices
logs.silence()
found = open_indices(sys.argv[1:], None)
print(sum(len(index.arrays()["has"]) for index in found))
"""


def test_several_processes_make_them_at_once(tmp_path):
    urls = shards(tmp_path / "data", 12)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, *urls], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    expected = sum(2 + n for n in range(12))
    assert [int(child.communicate()[0]) for child in children] == [expected] * 3
    assert len(list((tmp_path / "data").iterdir())) == 24  # nothing temporary


def test_each_process_of_a_run_begins_at_another_shard(tmp_path, made, monkeypatch):
    monkeypatch.setattr(index_store.hosts, "together", lambda: True)
    monkeypatch.setattr(index_store.jax, "process_index", lambda: 1)
    monkeypatch.setattr(index_store.jax, "process_count", lambda: 2)
    monkeypatch.setattr(index_store, "_threads", lambda urls: 1)
    found = open_indices(shards(tmp_path, 4), None)
    assert made == ["2.tar", "3.tar", "0.tar", "1.tar"]
    assert [Path(index.url).name for index in found] == [f"{n}.tar" for n in range(4)]


def test_the_count_is_said_in_a_log(tmp_path, capsys):
    open_indices(shards(tmp_path), None)
    assert capsys.readouterr().out.splitlines() == [
        "  indexing  3 shards, 0.00 GB, once",
        "  shards indexed 3/3",
    ]

"""Pieces of files, here and behind a URL, and how they fail."""

import os
import pickle
import threading

import pytest

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.shards import files as shard_files
from vlp_jax.data.shards.files import BLOCK, ShardFiles, open_stream, stamp

DATA = bytes(range(256)) * 40


def cause_of(files, *span) -> str:
    with pytest.raises(BadSample) as caught:
        files.read(*span)
    return caught.value.cause


def test_local_pieces(tmp_path):
    path = str(tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes(DATA)
    files = ShardFiles()
    assert files.read(path, 100, 7) == DATA[100:107]
    assert files.read(path, 0, 0) == b""
    copy = pickle.loads(pickle.dumps(files))
    assert copy.read(path, 200, 3) == DATA[200:203]
    assert cause_of(files, path, len(DATA) - 5, 10) == "image_truncated"
    assert cause_of(files, str(tmp_path / "b.tar"), 0, 1) == "image_unreadable"
    assert cause_of(files, str(tmp_path), 0, 1) == "image_unreadable"


@pytest.mark.fault("F13")
def test_a_shard_that_vanishes_or_shrinks_while_it_is_read(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(DATA)
    files = ShardFiles()
    assert files.read(str(path), 0, 4) == DATA[:4]
    os.truncate(path, 100)
    assert cause_of(files, str(path), 200, 4) == "image_truncated"
    path.unlink()
    assert cause_of(ShardFiles(), str(path), 0, 4) == "image_unreadable"


def test_what_lies_together_is_read_at_once(tmp_path, monkeypatch):
    path = tmp_path / "a.tar"
    path.write_bytes(DATA + bytes(2**18) + DATA)
    reads = []
    read = ShardFiles.read
    monkeypatch.setattr(
        ShardFiles, "read", lambda *x: reads.append(x[2:]) or read(*x), raising=True
    )
    near = {"a": (10, 5), "b": (600, 3), "c": (0, 2)}
    found = ShardFiles().read_together(str(path), near)
    assert found == {"a": DATA[10:15], "b": DATA[600:603], "c": DATA[:2]}
    assert reads == [(0, 603)]
    far = len(DATA) + 2**18
    found = ShardFiles().read_together(str(path), {"a": (10, 5), "b": (far, 5)})
    assert found == {"a": DATA[10:15], "b": DATA[:5]}
    assert reads[1:] == [(10, 5), (far, 5)]


def test_open_files_are_closed_when_others_take_their_place(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_files, "OPEN_FILES", 3)
    files = ShardFiles()
    before = len(os.listdir("/dev/fd"))
    for number in range(20):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(DATA)
        assert files.read(str(path), number, 1) == DATA[number : number + 1]
    assert len(os.listdir("/dev/fd")) <= before + 3
    del files
    assert len(os.listdir("/dev/fd")) == before


def test_stamps(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(DATA)
    first = stamp(str(path))
    assert first["size"] == len(DATA) and stamp(str(path)) == first
    os.utime(path, ns=(1, 1))
    assert stamp(str(path)) == {"size": len(DATA), "version": "1"}
    with pytest.raises(ConfigError, match=r"shard .*b\.tar: No such file"):
        stamp(str(tmp_path / "b.tar"))
    with pytest.raises(ConfigError, match="is not a file"):
        stamp(str(tmp_path))
    with pytest.raises(ConfigError, match="shard a\0b"):
        stamp("a\0b")


@pytest.fixture
def memory():
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe_file("/shards/a.tar", bytes(BLOCK - 100) + DATA)
    yield system
    system.rm("/shards", recursive=True)


URL = "memory://shards/a.tar"


def test_remote_pieces_come_in_blocks(memory, monkeypatch):
    asked = []
    monkeypatch.setattr(shard_files, "_load_block", _counted(asked))
    files = ShardFiles()
    assert files.read(URL, BLOCK - 100, 200) == DATA[:200]  # of two blocks
    assert files.read(URL, BLOCK + 100, 50) == DATA[200:250]
    assert asked == [(URL, 0), (URL, 1)]
    assert cause_of(files, URL, BLOCK + len(DATA) - 110, 20) == "image_truncated"
    with open_stream(URL) as stream:
        assert stream.read() == bytes(BLOCK - 100) + DATA


def _counted(asked):
    load = shard_files._load_block

    def counted(key):
        asked.append(key)
        return load(key)

    return counted


def test_remote_faults_that_pass_are_not_seen(memory, monkeypatch):
    waited, failures = [], [OSError("reset"), TimeoutError("slow")]
    cat = type(memory).cat_file

    def unsteady(self, *arguments, **keywords):
        if failures:
            raise failures.pop()
        return cat(self, *arguments, **keywords)

    monkeypatch.setattr(type(memory), "cat_file", unsteady)
    monkeypatch.setattr(shard_files.time, "sleep", waited.append)
    assert ShardFiles().read(URL, 0, 3) == bytes(3)
    assert waited == [1, 2]
    failures += [OSError("gone")] * 3
    assert cause_of(ShardFiles(), URL, 0, 3) == "image_unreadable"


def test_a_server_that_ignores_ranges(memory, monkeypatch):
    whole = memory.cat_file("/shards/a.tar") + bytes(BLOCK)
    monkeypatch.setattr(type(memory), "cat_file", lambda *a, **k: whole)
    assert cause_of(ShardFiles(), URL, BLOCK, 3) == "image_unreadable"


def test_remote_stamps(memory, monkeypatch):
    assert stamp(URL)["size"] == BLOCK - 100 + len(DATA)
    with pytest.raises(
        ConfigError, match=r"shard memory://shards/b\.tar: FileNotFound"
    ):
        stamp("memory://shards/b.tar")
    monkeypatch.setattr(
        type(memory), "info", lambda *a: {"size": 5, "ETag": '"x"', "mtime": 3}
    )
    assert stamp(URL) == {"size": 5, "version": '"x"'}
    monkeypatch.setattr(type(memory), "info", lambda *a: {"size": None})
    with pytest.raises(ConfigError, match="does not say how large it is"):
        stamp(URL)


def test_a_driver_that_is_not_installed():
    with pytest.raises(
        ConfigError, match=r"s3://bucket/a\.tar cannot be read yet.*s3fs"
    ):
        stamp("s3://bucket/a.tar")
    with pytest.raises(ConfigError, match="Protocol not known: nonsense"):
        stamp("nonsense://bucket/a.tar")


def test_threads_read_the_same_file(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(DATA)
    files, wrong = ShardFiles(), []

    def read(start):
        for offset in range(start, 5000, 7):
            if files.read(str(path), offset, 9) != DATA[offset : offset + 9]:
                wrong.append(offset)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong

"""Parquet files with pictures, their row groups, and what is refused."""

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow
import pyarrow.parquet
import pytest

from tests.data.sources.conftest import cause_of
from tests.data.tars import BLUE, GREEN, RED
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.fingerprint import difference
from vlp_jax.data.sources import parquet
from vlp_jax.data.sources.parquet import Parquet


def write(path, columns: dict[str, list], group: int = 3) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(columns)
    pyarrow.parquet.write_table(table, path, row_group_size=group)
    return str(path)


def columns(count: int, start: int = 0) -> dict[str, list]:
    numbers = range(start, start + count)
    return {
        "image": [
            {"bytes": (RED, BLUE, GREEN)[n % 3], "path": f"{n}.jpg"} for n in numbers
        ],
        "caption": [f"number {n}" for n in numbers],
        "label": [n % 3 for n in numbers],
        "width": [8] * count,
    }


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "set" / "0.parquet", columns(7))
    write(tmp_path / "set" / "1.parquet", columns(4, start=7))
    return tmp_path / "set"


def test_rows_of_two_files_as_hugging_face_writes_them(folder):
    source = Parquet(str(folder), label_column="label")
    assert len(source) == 11 and source.name == "parquet/set"
    assert source.blocks.tolist() == [3, 6, 7, 10, 11] and source.remote
    found = source[7]
    assert (found.image, found.captions, found.label) == (BLUE, ("number 7",), 1)
    assert found.name == "1.parquet/7"
    copy = pickle.loads(pickle.dumps(source))
    with ThreadPoolExecutor(4) as pool:
        names = [e.captions[0] for e in pool.map(copy.__getitem__, list(range(11)) * 9)]
    assert names == [f"number {n}" for n in range(11)] * 9
    with pytest.raises(IndexError):
        source[11]


def test_memory_holds_a_few_row_groups(folder, monkeypatch):
    monkeypatch.setattr(parquet, "KEPT_GROUPS", 2)
    source, loaded = Parquet(str(folder)), []
    load = source._tables.load
    source._tables.load = lambda number: loaded.append(number) or load(number)
    for index in range(11):
        source[index]
    assert loaded == [0, 1, 2, 3, 4]
    source[10], source[8], source[0]
    assert loaded == [0, 1, 2, 3, 4, 0]
    monkeypatch.setattr(parquet, "KEPT", 1)  # bytes: two groups stay all the same
    assert Parquet(str(folder))._tables.size == 2


def test_only_the_columns_in_use_are_read(folder):
    source = Parquet(str(folder))
    assert source._tables[0].column_names == ["image", "caption"]


def test_plain_bytes_lists_of_texts_and_what_is_broken(tmp_path):
    path = write(
        tmp_path / "a.parquet",
        {
            "jpg": [RED, None, b"", RED, RED],
            "text": [["one", "", "two"], ["x"], ["x"], [], None],
        },
    )
    source = Parquet(path, image_column="jpg", caption_column="text")
    assert source[0].captions == ("one", "two") and source[2].image == b""
    assert [cause_of(source, n) for n in (1, 3, 4)] == [
        "image_missing",
        "caption_missing",
        "caption_missing",
    ]
    path = write(tmp_path / "b.parquet", {"image": ["a.jpg"], "caption": ["x"]})
    assert cause_of(Parquet(path), 0) == "image_unreadable"


def test_captions_of_labels(tmp_path):
    data = columns(4)
    del data["caption"]
    data["label"][3] = None
    path = write(tmp_path / "a.parquet", data)
    names = ("red", "blue", "green")
    source = Parquet(path, label_column="label", class_names=names, templates=("{}!",))
    assert [source[n].captions for n in range(3)] == [
        ("red!",),
        ("blue!",),
        ("green!",),
    ]
    assert cause_of(source, 3) == "label_unreadable"


def test_remote_files(folder):
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in folder.iterdir():
        memory.pipe_file(f"/rows/{path.name}", path.read_bytes())
    source, same = Parquet("memory://rows/{0..1}.parquet"), Parquet(str(folder))
    assert [source[n] for n in range(11)] == [same[n] for n in range(11)]
    assert source.fingerprint == same.fingerprint
    memory.rm("/rows", recursive=True)


def test_the_fingerprint_names_the_file(folder):
    before = Parquet(str(folder)).fingerprint
    data = columns(4, start=7)
    data["caption"][1] = "another"
    write(folder / "1.parquet", data)
    assert (
        difference(before, Parquet(str(folder)).fingerprint) == "1 changed: 1.parquet"
    )


def test_a_damaged_row_group_is_bad_samples(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, columns(6))
    source = Parquet(str(path))
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xff" * 300 + data[400:])
    assert cause_of(source, 0) == "image_unreadable"
    path.write_bytes(data[:1000])
    assert cause_of(pickle.loads(pickle.dumps(source)), 5) == "image_unreadable"


@pytest.mark.parametrize("content", [b"", b"<html>404</html>" * 9, b"PAR1PAR1"])
def test_what_is_no_parquet_file(tmp_path, content):
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.parquet is no Parquet file") as caught:
        Parquet(str(path))
    assert "\n" not in str(caught.value)


def test_settings_that_make_no_sense(folder, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no column 'img'; there are: caption, image"):
        Parquet(str(folder), image_column="img")
    with pytest.raises(ConfigError, match="no column 'text'.*set caption_column"):
        Parquet(str(folder), caption_column="text")
    empty = write(tmp_path / "e.parquet", {"image": [], "caption": []})
    with pytest.raises(ConfigError, match="its 1 files have no row"):
        Parquet(empty)
    with pytest.raises(ConfigError, match="No such file"):
        Parquet(str(folder / "{0..2}.parquet"))
    monkeypatch.setattr(parquet, "MAX_GROUP", 1000)
    with pytest.raises(ConfigError, match="row groups of 0.0 GB"):
        Parquet(str(folder))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match="pip install pyarrow"):
        Parquet(str(folder))

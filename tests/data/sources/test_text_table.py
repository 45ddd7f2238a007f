"""Texts and their classes from a CSV, a TSV and JSON lines."""

import json
import pickle

import pytest

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.sources.text_table import TextTable
from vlp_jax.data.transforms.image import Preprocessing

ROWS = (("a cat,  asleep", "cat"), ("", "cat"), ('a "dog"', "dog"))


def write(path, rows=ROWS, names=("text", "label")):
    if path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        quoted = [['"' + x.replace('"', '""') + '"' for x in row] for row in rows]
        lines = [mark.join(names), *(mark.join(row) for row in quoted)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_a_table(tmp_path, kind):
    source = TextTable(write(tmp_path / f"animals.{kind}"))
    assert len(source) == 3 and source.class_names == ("cat", "dog")
    assert source.name == "text_table/animals"
    first, last = source[0], source[2]
    assert first.captions == ("a cat, asleep",) and first.label == 0
    assert last.captions == ('a "dog"',) and last.label == 1
    with pytest.raises(BadSample, match="caption_missing"):
        source[1]
    assert pickle.loads(pickle.dumps(source))[2] == last
    with pytest.raises(BadSample):  # who wants a picture is told that there is none
        Preprocessing(image_size=8)(first.image)


def test_columns_and_classes_of_ones_own(tmp_path):
    path = write(tmp_path / "a.csv", names=("said", "kind"))
    columns = dict(text_column="said", label_column="kind")
    source = TextTable(path, **columns, class_names=("dog", "cow", "cat"))
    assert source.class_names == ("dog", "cow", "cat") and source[0].label == 2
    assert source.fingerprint != TextTable(path, **columns).fingerprint
    with pytest.raises(ConfigError, match="no column 'text'.*text_column and label_c"):
        TextTable(path)
    with pytest.raises(ConfigError, match="the label 'cat' is none of class_names"):
        TextTable(path, **columns, class_names=("dog", "cow"))


def test_what_is_no_table(tmp_path):
    with pytest.raises(ConfigError, match="no file .*give root=FILE.csv"):
        TextTable(str(tmp_path / "none.csv"))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ConfigError, match="unknown kind of table"):
        TextTable(str(tmp_path / "a.txt"))
    path = write(tmp_path / "b.csv", rows=(("a", "x"), ("b", " ")))
    with pytest.raises(ConfigError, match=r"b.csv, line 3: no label"):
        TextTable(path)

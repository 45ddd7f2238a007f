"""Tables row by row with their line numbers, and what is no table."""

import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.tables import TABLES, cell, delimited_rows, json_rows, text_lines


def written(folder, content: str | bytes, name: str):
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)
    return folder / name


def rows(folder, content: str | bytes, name="pairs.csv") -> list:
    path = written(folder, content, name)
    return list(TABLES[path.suffix](path))


def refused(folder, content: str | bytes, name="pairs.csv") -> str:
    with pytest.raises(ConfigError) as caught:
        rows(folder, content, name)
    assert str(caught.value).count("\n") == 0
    return str(caught.value)


def test_rows_of_a_csv_have_the_number_of_their_last_line(tmp_path):
    table = 'image,caption\n1.jpg,"a dog,\nand a ""cat"""\n\n2.jpg\n'
    assert rows(tmp_path, table) == [
        (3, {"image": "1.jpg", "caption": 'a dog,\nand a "cat"'}),
        (5, {"image": "2.jpg", "caption": None}),  # a short row
    ]
    assert rows(tmp_path, "image,caption\n") == []


@pytest.mark.parametrize("name", ["pairs.tsv", "PAIRS.TSV"])
def test_tabs_separate_the_values_of_a_tsv(tmp_path, name):
    path = written(tmp_path, "image\tcaption\n1.jpg\ta dog, running\n", name)
    expected = [(2, {"image": "1.jpg", "caption": "a dog, running"})]
    assert list(delimited_rows(path)) == expected


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    mark = b"\xef\xbb\xbf"
    assert rows(tmp_path, mark + b"image\n1.jpg\n") == [(2, {"image": "1.jpg"})]
    path = written(tmp_path, mark + b"a\r\n" + mark + b"b", "x.txt")
    assert list(text_lines(path)) == ["a\r\n", "\ufeffb"]  # later it is a character


def test_rows_of_json_lines(tmp_path):
    table = '{"image": "1.jpg", "caption": ["a", 3]}\n \n{"image": null}\n'
    assert rows(tmp_path, table, "pairs.jsonl") == [
        (1, {"image": "1.jpg", "caption": ["a", 3]}),
        (3, {"image": None}),
    ]
    assert list(json_rows(written(tmp_path, "", "empty.jsonl"))) == []


def test_tables_that_cannot_be_read_name_the_line(tmp_path):
    header = "image,caption\n1.jpg,red\n"
    assert "line 3: not UTF-8" in refused(
        tmp_path, header.encode() + b"2.jpg,caf\xe9\n"
    )
    assert "line 3: more values" in refused(tmp_path, header + "2.jpg,a dog, running\n")
    assert "line 3: " in refused(tmp_path, header + '2.jpg,"never closed\n3.jpg,x\n')
    assert "is empty" in refused(tmp_path, "")
    assert "line 2: not JSON" in refused(tmp_path, "\n{'image': 1}\n", "t.jsonl")
    assert "line 1: not JSON" in refused(tmp_path, "[" * 100_000, "t.jsonl")
    assert "line 1: not an object" in refused(tmp_path, '["1.jpg", "red"]\n', "t.jsonl")


def test_what_was_read_before_a_broken_row_is_there(tmp_path):
    path = written(tmp_path, "image\n1.jpg\n2.jpg,x\n", "pairs.csv")
    found = delimited_rows(path)
    assert next(found) == (2, {"image": "1.jpg"})
    said = r"pairs\.csv, line 3: more values than columns; put a caption that contains "
    with pytest.raises(ConfigError, match=said + "',' in double quotes"):
        next(found)


def test_a_value_by_its_column():
    row = {"image": "1.jpg", "caption": None}
    assert cell(row, "image", "x") == "1.jpg" and cell(row, "caption", "x") is None
    said = "t.csv, line 2: no column 'captions'; the columns are: image, caption; set "
    with pytest.raises(ConfigError, match=said + ".*; did you mean 'caption'.$"):
        cell(row, "captions", "t.csv, line 2")

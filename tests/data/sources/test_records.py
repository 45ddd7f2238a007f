"""What every source of records with columns has: its files, name and columns."""

import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.classes import Classes
from vlp_jax.data.columns import Columns
from vlp_jax.data.sources.records import RecordFiles


class Lines(RecordFiles):
    """Of text files; keeps what there was when they were opened."""

    kind, ending = "lines", ".txt"

    def _open_files(self):
        self.opened = (self._urls, self._names, self.columns)


@pytest.fixture
def folder(tmp_path):
    for name in ("0.txt", "1.txt", "readme.md"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / name).touch()
    return tmp_path / "set"


def test_the_files_of_a_kind_are_found_and_opened_last(folder):
    source = Lines(str(folder))
    expected = Columns("image", "caption", None, Classes())
    urls = [str(folder / name) for name in ("0.txt", "1.txt")]
    assert source.name == "lines/set" and source.class_names == ()
    assert [list(part) for part in source.opened[:2]] == [urls, ["0.txt", "1.txt"]]
    assert source.opened[2] == expected


def test_one_file_and_several_folders(folder, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "2.txt").touch()
    assert Lines(str(folder / "1.txt")).opened[1] == ["1.txt"]
    both = Lines([str(folder), str(tmp_path / "more")])
    assert both.name == f"lines/{tmp_path.name}"
    assert list(both.opened[1]) == ["set/0.txt", "set/1.txt", "more/2.txt"]


def test_columns_and_classes_as_they_are_set(folder):
    columns = {"image_column": "jpg", "caption_column": "text", "label_column": "cls"}
    names, templates = ["cat", "dog"], ["a {}"]  # lists, as a config has them
    source = Lines(str(folder), **columns, class_names=names, templates=templates)
    classes = Classes(("cat", "dog"), ("a {}",))
    assert source.columns == Columns("jpg", "text", "cls", classes)
    assert source.class_names == ("cat", "dog")
    assert Lines(str(folder), class_names="svhn").class_names[7] == "seven"


def test_what_is_refused(folder):
    with pytest.raises(ConfigError, match="template 'a photo' has no"):
        Lines(str(folder), class_names=("a",), templates=("a photo",))
    with pytest.raises(TypeError, match="_open_files"):  # a kind that opens nothing
        type("Unfinished", (RecordFiles,), {"kind": "x", "ending": ".txt"})(str(folder))

"""COCO's pictures are found by number in whichever release is there."""

import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.sources.coco_pictures import CocoPictures, coco_name

NINE = "000000000009.jpg"


def test_names():
    assert coco_name("train2017", 9) == f"train2017/{NINE}"
    assert coco_name("val2014", 9) == f"val2014/COCO_val2014_{NINE}"
    assert coco_name("test2015", 9) == f"test2015/COCO_test2015_{NINE}"


@pytest.mark.parametrize(
    "there, wanted, found",
    [
        ("train2017/{}", "train2017/{}", "train2017/{}"),
        ("images/train2017/{}", "train2017/{}", "images/train2017/{}"),
        ("val2017/{}", "train2017/{}", "val2017/{}"),
        ("val2017/{}", "val2014/COCO_val2014_{}", "val2017/{}"),
        ("val2014/COCO_val2014_{}", "train2017/{}", "val2014/COCO_val2014_{}"),
        ("photos/a.jpg", "photos/a.jpg", "photos/a.jpg"),
        # Not there: left where the annotations have it, for the error to name.
        ("val2017/000000000007.jpg", "train2014/x.jpg", "train2014/x.jpg"),
        ("val2017/{}", "train2014/COCO_train2014_9.jpg", None),
    ],
)
def test_a_picture_is_found(disk, there, wanted, found):
    disk.bytes(there.format(NINE), b"x")
    wanted = wanted.format(NINE)
    pictures = CocoPictures(disk.root, [wanted.split("/")[0]], "layout")
    assert pictures(wanted) == disk.root / (found or wanted).format(NINE)


def test_other_files_are_no_pictures(disk):
    for name in (f"{NINE}.part", f"thumb_{NINE}", "readme.txt"):
        disk.bytes(f"val2017/{name}", b"x")
    pictures = CocoPictures(disk.root, ["train2017"], "layout")
    assert pictures(f"train2017/{NINE}") == disk.root / "train2017" / NINE


def test_no_folder_at_all(disk):
    with pytest.raises(ConfigError, match="no folder 'train2017'.*\nthe layout"):
        CocoPictures(disk.root, ["train2017"], "the layout")

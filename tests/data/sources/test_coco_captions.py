"""COCO captions in both of their files, with the pictures of both releases."""

import pickle
import shutil

import pytest

from tests.data.sources.conftest import jpeg
from vlp_jax.core.errors import BadSample
from vlp_jax.data.sources.coco_captions import CocoCaptions

NAMES = ("train2017/000000000009.jpg", "train2017/000000000025.jpg")


def official(*captions: tuple[int, str], images=(9, 25)) -> dict:
    """The content of captions_train2017.json; its annotations are in no order."""
    return {
        "info": {"description": "COCO 2017 Dataset", "year": 2017},
        "licenses": [{"url": "http://creativecommons.org/", "id": 1, "name": "BY"}],
        "images": [
            {
                "license": 1,
                "file_name": f"{number:012d}.jpg",
                "coco_url": f"http://images.cocodataset.org/train2017/{number:012d}.jpg",
                "height": 24,
                "width": 24,
                "id": number,
            }
            for number in images
        ],
        "annotations": [
            {"image_id": number, "id": k, "caption": text}
            for k, (number, text) in enumerate(captions)
        ],
    }


def karpathy(*images: tuple[str, str, int, list[str]]) -> dict:
    """The content of dataset_coco.json; images: (split, folder, number, captions)."""
    return {
        "images": [
            {
                "filepath": folder,
                "sentids": list(range(len(captions))),
                "filename": f"COCO_{folder}_{number:012d}.jpg",
                "imgid": k,
                "split": split,
                "sentences": [
                    {"tokens": text.split(), "raw": text, "imgid": k, "sentid": s}
                    for s, text in enumerate(captions)
                ],
                "cocoid": number,
            }
            for k, (split, folder, number, captions) in enumerate(images)
        ],
        "dataset": "coco",
    }


SPLITS = karpathy(
    ("test", "val2014", 42, ["A dog.", "Two dogs.", "Dogs", "a pet", "pets"]),
    ("train", "train2014", 9, ["A plate.\n", " "]),
    ("restval", "val2014", 25, ["A giraffe.", "Un café"]),
    ("val", "val2014", 30, ["Flowers."]),
)


def contents(source) -> list[tuple]:
    return [(e.name, e.captions) for e in (source[i] for i in range(len(source)))]


def test_the_official_files(disk):
    texts = [(25, "A giraffe "), (9, "A plate.\n"), (25, "b"), (9, ""), (7, "stray")]
    disk.json(
        "annotations/captions_train2017.json", official(*texts, images=(9, 25, 30))
    )
    disk.pictures(*NAMES)
    source = CocoCaptions(str(disk.root))
    assert contents(source) == [
        (NAMES[0], ("A plate.",)),
        (NAMES[1], ("A giraffe", "b")),
    ]
    assert (source[0].image, source[1].image) == (jpeg(0), jpeg(1))
    # An empty caption, a picture without any, and a caption of no picture.
    assert source.dropped == {"caption_missing": 2, "picture_not_listed": 1}
    assert source.name == "coco_captions/train" and source.class_names == ()
    again = pickle.loads(pickle.dumps(source))
    assert contents(again) == contents(source)
    (disk.root / NAMES[1]).unlink()
    with pytest.raises(BadSample) as caught:
        source[1]
    assert caught.value.cause == "image_missing"


def test_pictures_of_the_other_release_are_found_by_number(disk):
    disk.json("annotations/captions_train2017.json", official((9, "a"), (25, "b")))
    disk.pictures(
        "images/train2014/COCO_train2014_000000000009.jpg",
        "images/val2014/COCO_val2014_000000000025.jpg",
    )
    source = CocoCaptions(str(disk.root))
    assert [source[k].image for k in range(2)] == [jpeg(0), jpeg(1)]
    fingerprint = source.fingerprint
    shutil.rmtree(disk.root / "images")
    disk.pictures(*NAMES)
    assert CocoCaptions(str(disk.root)).fingerprint == fingerprint


def test_karpathys_splits(disk):
    disk.json("dataset_coco.json", SPLITS)
    disk.pictures(
        "val2014/COCO_val2014_000000000042.jpg",
        "train2014/COCO_train2014_000000000009.jpg",
    )
    test = CocoCaptions(str(disk.root), split="test")
    assert contents(test) == [
        (
            "val2014/COCO_val2014_000000000042.jpg",
            ("A dog.", "Two dogs.", "Dogs", "a pet", "pets"),
        )
    ]
    assert test[0].image == jpeg(0) and not test.dropped
    both = CocoCaptions(str(disk.root), split="train+restval")
    assert [captions for captions in (both._captions[0], both._captions[1])] == [
        "A plate.",
        "A giraffe.",
    ]
    assert len(both) == 2 and both.dropped == {"caption_missing": 1}
    assert both[0].captions == ("A plate.",)
    assert len(CocoCaptions(str(disk.root), split="val")) == 1
    assert test.fingerprint != both.fingerprint
    # The pictures of 2017, where those of 2014 are not there.
    shutil.rmtree(disk.root / "val2014")
    shutil.rmtree(disk.root / "train2014")
    disk.pictures("train2017/000000000025.jpg", "val2017/000000000009.jpg")
    both = CocoCaptions(str(disk.root), split="train+restval")
    assert [both[k].image for k in range(2)] == [jpeg(1), jpeg(0)]


def test_a_file_of_ones_own(disk, monkeypatch):
    content = official((9, "mine"))
    content["images"][0]["file_name"] = "photos/a.jpg"
    disk.json("own.json", content)
    disk.pictures("photos/a.jpg")
    source = CocoCaptions(str(disk.root), captions="own.json")
    assert contents(source) == [("photos/a.jpg", ("mine",))]
    assert source.name == "coco_captions/own"
    disk.json("dataset_mine.json", SPLITS)
    disk.pictures("val2014/COCO_val2014_000000000042.jpg")
    monkeypatch.chdir(disk.root)
    source = CocoCaptions(str(disk.root), split="test", captions="dataset_mine.json")
    assert len(source) == 1
    message = disk.refused(CocoCaptions, split="val", captions="own.json")
    assert "split='val' has no meaning" in message and "leave split out" in message


def test_what_is_missing_is_named_with_the_layout(disk):
    message = disk.refused(CocoCaptions)
    assert "no annotations/captions_train2017.json or annotations/captions" in message
    assert "https://cocodataset.org" in message.splitlines()[1]
    assert "for Karpathy's splits put dataset_coco.json into" in disk.refused(
        CocoCaptions, split="test"
    )
    assert "unknown split of COCO's own captions 'vall'" in disk.refused(
        CocoCaptions, split="vall"
    )
    assert "no captions file 'x.json'" in disk.refused(CocoCaptions, captions="x.json")
    disk.json("annotations/captions_val2017.json", official((9, "a")))
    message = disk.refused(CocoCaptions, split="val")
    assert "no folder 'val2017' with pictures" in message
    disk.json("dataset_coco.json", SPLITS)
    assert "no folder 'train2014'" in disk.refused(CocoCaptions)
    assert "did you mean 'test'" in disk.refused(CocoCaptions, split="tests")
    missing = disk.root / "nowhere"
    with pytest.raises(Exception, match="no folder .*nowhere"):
        CocoCaptions(str(missing))


@pytest.mark.fault("F20")
@pytest.mark.parametrize("name", ["/etc/passwd", "../../a.jpg", "a/../../b.jpg"])
def test_names_that_leave_the_root_are_refused(disk, name):
    content = official((9, "a"))
    content["images"][0]["file_name"] = name
    disk.json("own.json", content)
    message = disk.refused(CocoCaptions, captions="own.json")
    assert "may lie outside the folder" in message and "own.json" in message


def test_files_of_another_form(disk):
    disk.bytes("cut.json", b'{"images": [{"id": 1, "file_name": "a.jpg"}, {"id"')
    assert "only a part of it" in disk.refused(CocoCaptions, captions="cut.json")
    disk.json("list.json", [1, 2])
    assert "the annotations list no picture" in disk.refused(
        CocoCaptions, captions="list.json"
    )
    disk.json("boxes.json", {"images": [{"id": 1}], "annotations": []})
    message = disk.refused(CocoCaptions, captions="boxes.json")
    assert "(no 'file_name'); expected COCO's form" in message
    disk.json("empty.json", official())
    message = disk.refused(CocoCaptions, captions="empty.json")
    assert "nothing to read (left out: {'caption_missing': 2})" in message

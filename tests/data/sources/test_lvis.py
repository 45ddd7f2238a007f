"""LVIS: boxes, labels and masks of objects on COCO's pictures."""

import pickle

import numpy as np
import pytest

from tests.data.sources.conftest import jpeg
from vlp_jax.core.errors import BadSample
from vlp_jax.data.sources.lvis import Lvis


def category(number: int, name: str) -> dict:
    return {
        "image_count": 64,
        "synonyms": [name],
        "def": "a container",
        "id": number,
        "synset": f"{name}.n.02",
        "name": name,
        "instance_count": 109,
        "frequency": "c",
    }


def image(number: int, folder="train2017", width=24, height=20) -> dict:
    return {
        "date_captured": "2013-11-14 16:28:13",
        "neg_category_ids": [2],
        "id": number,
        "license": 4,
        "height": height,
        "width": width,
        "flickr_url": "http://farm9.staticflickr.com/x.jpg",
        "coco_url": f"http://images.cocodataset.org/{folder}/{number:012d}.jpg",
        "not_exhaustive_category_ids": [],
    }


def thing(number: int, image: int, category: int, *polygons, box=None) -> dict:
    return {
        "bbox": box or [2.25, 3.0, 4.5, 5.0],
        "category_id": category,
        "image_id": image,
        "id": number,
        "segmentation": list(polygons),
        "area": 22.5,
    }


SQUARE = [2.0, 3.0, 6.0, 3.0, 6.0, 7.0, 2.0, 7.0]
CORNER = [20.0, 15.0, 23.0, 15.0, 23.0, 19.0, 20.0, 19.0]
# As published: annotations before the pictures, in no order of theirs.
LVIS = {
    "info": {"version": "v1.0"},
    "annotations": [
        thing(1, 42, 3, SQUARE, CORNER),
        thing(2, 9, 7, SQUARE),
        thing(3, 42, 7, SQUARE, box=[0.0, 0.5, 24.0, 19.5]),
        thing(4, 42, 3, CORNER),
    ],
    "images": [image(9), image(10), image(42, "val2017")],
    "licenses": [],
    "categories": [category(7, "alarm_clock"), category(3, "aerosol_can")],
}


def write(disk, content=LVIS, name="lvis_v1_train.json") -> str:
    disk.json(name, content)
    disk.pictures("train2017/000000000009.jpg", "val2017/000000000042.jpg")
    return str(disk.root)


def test_boxes_labels_and_captions(disk):
    source = Lvis(write(disk), templates=("a {}", "one {}"))
    assert source.class_names == ("aerosol can", "alarm clock")
    assert len(source) == 2 and source.dropped == {"annotation_missing": 1}
    assert [(r.box, r.label, r.mask) for r in source[0].regions] == [
        ((2, 3, 7, 8), 1, None)
    ]
    assert [(r.box, r.label) for r in source[1].regions] == [
        ((2, 3, 7, 8), 0),
        ((0, 0, 24, 20), 1),
        ((2, 3, 7, 8), 0),
    ]
    assert source[0].captions == ("a alarm clock", "one alarm clock")
    assert source[1].captions == (
        "a aerosol can",
        "one aerosol can",
        "a alarm clock",
        "one alarm clock",
    )
    assert [source[k].image for k in range(2)] == [jpeg(0), jpeg(1)]
    assert source[1].name == "val2017/000000000042.jpg"


def test_masks(disk):
    source = Lvis(write(disk), masks=True)
    source = pickle.loads(pickle.dumps(source))
    both, square, corner = (region.mask for region in source[1].regions)
    assert both.shape == (20, 24) and both.dtype == bool
    expected = np.zeros((20, 24), bool)
    expected[3:8, 2:7] = True
    np.testing.assert_array_equal(square, expected)
    np.testing.assert_array_equal(both, square | corner)
    assert corner.sum() == 5 * 4 and corner[15:20, 20:24].all()
    plain = Lvis(str(disk.root))
    assert plain.fingerprint == source.fingerprint


def test_a_picture_of_impossible_size(disk):
    content = LVIS | {"images": [image(9, width=10**6, height=10**6)]}
    source = Lvis(
        write(disk, content, "annotations/lvis_v1_val.json"), "val", masks=True
    )
    assert source.dropped == {"picture_not_listed": 3}
    with pytest.raises(BadSample) as caught:
        source[0]
    assert caught.value.cause == "image_too_large"


def test_what_is_refused(disk):
    assert "no lvis_v1_train.json or annotations/lvis_v1_train" in disk.refused(Lvis)
    assert "did you mean 'train'" in disk.refused(Lvis, split="trian")
    write(disk)
    assert "template 'a can' has no '{}'" in disk.refused(Lvis, templates=("a can",))
    write(disk, LVIS | {"categories": [category(3, "x")]})
    assert "(no 7); expected LVIS' form" in disk.refused(Lvis)
    write(disk, LVIS | {"annotations": [thing(1, 9, 3, [1.0, 2.0])]})
    assert "a polygon of 2 numbers" in disk.refused(Lvis, masks=True)
    write(disk, LVIS | {"annotations": [thing(1, 9, 3, box=[1, 2])]})
    assert "expected LVIS' form" in disk.refused(Lvis)


@pytest.mark.fault("F20")
def test_addresses_that_leave_the_root_are_refused(disk):
    wrong = image(9) | {"coco_url": "http://x/../000000000009.jpg"}
    write(disk, LVIS | {"images": [wrong]})
    assert "may lie outside the folder" in disk.refused(Lvis)

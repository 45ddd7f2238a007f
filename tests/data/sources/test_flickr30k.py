"""Flickr30k with Karpathy's splits and with its own captions."""

import pytest

from tests.data.sources.conftest import jpeg
from vlp_jax.data.sources.flickr30k import Flickr30k

IMAGES = [
    {
        "sentids": [5 * k, 5 * k + 1],
        "imgid": k,
        "sentences": [
            {"tokens": ["x"], "raw": raw, "imgid": k, "sentid": 5 * k + s}
            for s, raw in enumerate(raws)
        ],
        "split": split,
        "filename": f"{name}.jpg",
    }
    for k, (split, name, raws) in enumerate(
        [
            ("train", 1000092795, ["Two young guys.", "Two men."]),
            ("test", 1007129816, ["The man with a hat.", "A man .", "", "d", "e"]),
            ("val", 1009434119, ["A black dog."]),
        ]
    )
]
TOKENS = """\
1000092795.jpg#0\tTwo young guys .
1000092795.jpg#1\tTwo   men .
10002456.jpg#0\tSeveral men in hard hats .
10002456.jpg#1\t
"""


@pytest.mark.parametrize("folder", ["flickr30k-images", "images"])
def test_karpathys_splits(disk, folder):
    disk.json("dataset_flickr30k.json", {"images": IMAGES, "dataset": "flickr30k"})
    disk.pictures(f"{folder}/1000092795.jpg", f"{folder}/1007129816.jpg")
    test = Flickr30k(str(disk.root), split="test")
    assert len(test) == 1 and test.name == "flickr30k/test"
    assert test[0].captions == ("The man with a hat.", "A man .", "d", "e")
    assert test[0].image == jpeg(1) and test[0].name == "1007129816.jpg"
    assert test.dropped == {"caption_missing": 1}
    assert len(Flickr30k(str(disk.root), split="train+val")) == 2
    message = disk.refused(Flickr30k, split="restval")
    assert "has no split 'restval'; its splits: test, train, val" in message


def test_its_own_captions(disk):
    disk.bytes("results_20130124.token", TOKENS.encode())
    disk.pictures("flickr30k_images/1000092795.jpg", "flickr30k_images/10002456.jpg")
    source = Flickr30k(str(disk.root))
    assert [source[k].captions for k in range(2)] == [
        ("Two young guys .", "Two men ."),
        ("Several men in hard hats .",),
    ]
    assert source[1].image == jpeg(1) and source.name == "flickr30k/all"
    assert source.dropped == {"caption_missing": 1}
    message = disk.refused(Flickr30k, split="test")
    assert "has no splits, and split='test' is given" in message


def test_what_is_refused(disk):
    message = disk.refused(Flickr30k)
    assert "no dataset_flickr30k.json or results_20130124.token below" in message
    disk.bytes("results_20130124.token", b"1.jpg#0\ta dog\n../2.jpg#0\tx\n")
    assert "line 2: '../2.jpg' may lie outside" in disk.refused(Flickr30k)
    disk.bytes("results_20130124.token", b"1.jpg,0,a dog\n")
    assert "line 1: '1.jpg,0,a dog'; expected a line" in disk.refused(Flickr30k)

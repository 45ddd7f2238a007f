"""SugarCrepe's files over COCO's pictures, in both releases, and broken ones."""

from tests.data.sources.conftest import cause_of, jpeg
from vlp_jax.data.sources.sugar_crepe import SugarCrepe

ADDED = {
    "0": {
        "filename": "000000085329.jpg",
        "caption": "A bear in  a forest.",
        "negative_caption": "A bear in a forest with a ball.",
    },
    "7": {  # the numbers have gaps
        "filename": "000000000139.jpg",
        "caption": "A room.",
        "negative_caption": "",
    },
    "8": {
        "filename": "000000085329.jpg",
        "caption": "A brown bear.",
        "negative_caption": "A blue bear.",
    },
}
SWAPPED = {"0": ADDED["8"] | {"filename": "000000000139.jpg"}}


def test_a_caption_and_its_negative(disk):
    disk.json("sugar_crepe/add_obj.json", ADDED)
    disk.json("swap_att.json", SWAPPED)
    disk.pictures("val2017/000000085329.jpg", "val2017/000000000139.jpg")
    source = SugarCrepe(str(disk.root))
    assert source.name == "sugar_crepe/add_obj" and len(source) == 2
    assert source.dropped == {"caption_missing": 1}
    first, second = source[0], source[1]
    assert first.captions == ("A bear in a forest.",)
    assert first.negatives == ("A bear in a forest with a ball.",)
    assert first.image == second.image == jpeg(0)
    assert first.name == "val2017/000000085329.jpg"
    both = SugarCrepe(str(disk.root), split="add_obj+swap_att")
    assert len(both) == 3 and both[2].image == jpeg(1)
    assert both.fingerprint != source.fingerprint


def test_the_pictures_of_2014_will_do(disk):
    disk.json("data/add_obj.json", ADDED)
    disk.pictures("images/val2014/COCO_val2014_000000085329.jpg")
    assert SugarCrepe(str(disk.root))[1].image == jpeg(0)


def test_a_picture_that_is_missing(disk):
    disk.json("add_obj.json", ADDED)
    disk.pictures("val2017/000000000139.jpg")
    assert cause_of(SugarCrepe(str(disk.root)), 0) == "image_missing"


def test_what_is_not_there_is_explained(disk):
    assert "no add_obj.json below" in disk.refused(SugarCrepe)
    assert "did you mean 'swap_att'" in disk.refused(SugarCrepe, split="swap_at")
    for broken in ([1], {"0": {"caption": "x"}}, {"0": {**ADDED["0"], "caption": 3}}):
        disk.json("add_obj.json", broken)
        assert "expected {" in disk.refused(SugarCrepe)
    disk.bytes("add_obj.json", b'{"0": ')
    assert "expected {" in disk.refused(SugarCrepe)
    disk.json("add_obj.json", {"0": ADDED["7"]})
    assert "holds no caption with a negative" in disk.refused(SugarCrepe)
    disk.json("add_obj.json", {"0": {**ADDED["0"], "filename": "../secret.jpg"}})
    assert "outside" in disk.refused(SugarCrepe)

"""Pairs of pictures and captions, as Winoground is published and as one's own table."""

import json

from tests.data.sources.conftest import cause_of, jpeg
from vlp_jax.data.sources.winoground import Winoground

PAIR = {
    "id": 0,
    "image_0": "ex_0_img_0",
    "image_1": "ex_0_img_1",
    "caption_0": "an old person kisses a young person",
    "caption_1": "a young person kisses an old person",
    "collapsed_tag": "Object",
}
SECOND = PAIR | {"image_0": "ex_1_img_0", "image_1": "ex_1_img_1"}


def lines(*rows) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def test_the_published_form(disk):
    disk.bytes("examples.jsonl", lines(PAIR, SECOND))
    names = [f"images/ex_{k}_img_{half}.png" for k in (0, 1) for half in (0, 1)]
    disk.pictures(*names[:3])
    source = Winoground(str(disk.root))
    assert source.name == f"winoground/{disk.root.name}" and len(source) == 4
    one, other = PAIR["caption_0"], PAIR["caption_1"]
    assert (source[0].captions, source[0].negatives) == ((one,), (other,))
    assert (source[1].captions, source[1].negatives) == ((other,), (one,))
    assert [source[i].image for i in range(3)] == [jpeg(i) for i in range(3)]
    assert cause_of(source, 3) == "image_missing"


def test_ones_own_table(disk):
    table = "image_0,image_1,caption_0,caption_1\na.jpg,b.jpg,x y,y x\nc,d,,z\n"
    disk.bytes("pairs.csv", table.encode())
    disk.pictures("a.jpg", "b.jpg")
    source = Winoground(str(disk.root), captions="pairs.csv")
    assert [source[i].captions for i in range(2)] == [("x y",), ("y x",)]
    assert source[1].image == jpeg(1)
    assert len(source) == 2 and source.dropped == {"caption_missing": 1}


def test_what_is_not_there_is_explained(disk):
    assert "no table 'examples.jsonl'" in disk.refused(Winoground)
    disk.bytes("examples.jsonl", lines({"image_0": "a", "image_1": "b"}))
    assert "no column 'caption_0'" in disk.refused(Winoground)
    disk.bytes("examples.jsonl", lines(PAIR | {"image_1": "/etc/passwd"}))
    assert "line 1" in disk.refused(Winoground)
    disk.bytes("examples.jsonl", lines(PAIR | {"caption_1": 3}))
    assert "expected two texts" in disk.refused(Winoground)
    disk.bytes("examples.jsonl", lines(PAIR | {"caption_1": " "}))
    assert "no usable pair (dropped: {'caption_missing': 1})" in disk.refused(
        Winoground
    )

"""Shards by other people's tools and ours, their settings, and how they are read."""

import json
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.data.sources.one_shard import cause_of, one
from tests.data.tars import (
    BLUE,
    GREEN,
    RED,
    pairs,
    picture,
    tar_bytes,
    write_tar,
)
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Example, Question, Region
from vlp_jax.data.loader import Loader
from vlp_jax.data.order import BlockOrder
from vlp_jax.data.pairs import PairSamples
from vlp_jax.data.shards.sample_json import to_json
from vlp_jax.data.sources.webdataset import WebDataset
from vlp_jax.data.transforms.image import decode_image


def all_captions(source) -> list[tuple[str, ...]]:
    return [source[i].captions for i in range(len(source))]


# ---- what a sample is


def test_two_shards_of_somebody_elses_tool(tmp_path):
    """jpg, png and webp; txt or json; some without a caption or a picture."""
    img2dataset = {
        "caption": "a blue box",
        "url": "http://x/1.jpg",
        "status": "success",
    }
    first = {
        "000000000.jpg": RED,
        "000000000.txt": " a red\n box ",
        "000000000.json": json.dumps({"caption": "not this one"}),
        "000000001.png": picture("blue", "PNG"),
        "000000001.json": json.dumps(img2dataset),
        "000000002.jpg": GREEN,
        "000000002.json": json.dumps({"caption": None, "url": "http://x/2.jpg"}),
        "000000003.txt": "no picture",
        "000000004.jpg": GREEN,
        "000000004.txt": "",
    }
    second = {"a/7.webp": picture("green", "WEBP"), "a/7.txt": "绿色 vert"}
    write_tar(tmp_path / "set" / "00000.tar", first)
    write_tar(tmp_path / "set" / "00001.tar", second)
    source = WebDataset(str(tmp_path / "set" / "{00000..00001}.tar"))
    assert source.name == "webdataset/set"
    assert all_captions(source) == [("a red box",), ("a blue box",), ("绿色 vert",)]
    assert source.dropped == {"caption_missing": 2, "image_missing": 1}
    assert [source[i].name for i in range(3)] == [
        "00000.tar/000000000",
        "00000.tar/000000001",
        "00001.tar/a/7",
    ]
    assert source[1].image == picture("blue", "PNG") and source[1].label is None
    assert source.blocks.tolist() == [2, 3] and source.blocks.dtype == np.int64
    assert not source.remote
    assert [decode_image(source[i].image).size for i in range(3)] == [(8, 8)] * 3
    for index in (-1, 3):
        with pytest.raises(IndexError):
            source[index]


def test_the_caption_fields_that_one_chooses(tmp_path):
    def members(number, **fields):
        return {f"{number}.jpg": RED} | {f"{number}.{k}": v for k, v in fields.items()}

    content = json.dumps({"alt": ["an alt", "", "another"], "title": "a title", "n": 3})
    data = members(0, txt="text", json=content) | members(1, txt="only text")
    data |= members(2, json=json.dumps({"title": "only a title"})) | members(
        3, json="{}"
    )
    names = ("json.title", "json.alt")
    source = one(tmp_path, data, captions=names)
    assert all_captions(source) == [("a title", "an alt", "another"), ("only a title",)]
    assert source[0].caption_weights == ()
    assert source.dropped == {"caption_missing": 2}
    weighted = one(tmp_path, data, captions=names, caption_weights=(3.0, 1.0))
    assert weighted[0].caption_weights == (3.0, 0.5, 0.5)
    assert weighted[1].caption_weights == (3.0,)
    assert all_captions(one(tmp_path, data, captions="txt")) == [
        ("text",),
        ("only text",),
    ]
    assert len(one(tmp_path, data)) == 2  # txt; without it json.caption, not any text


def test_pictures_of_several_fields(tmp_path):
    data = {"a.left.jpg": RED, "a.right.jpg": BLUE, "a.caption.txt": "two eyes"}
    data |= {"b.left.jpg": RED, "b.caption.txt": "one eye"}
    chosen = {"captions": ("caption.txt",)}
    assert [one(tmp_path, data, **chosen)[i].image for i in range(2)] == [RED, RED]
    right = one(tmp_path, data, image_column="right.jpg", **chosen)
    assert len(right) == 1 and right[0].image == BLUE
    assert right.dropped == {"image_missing": 1}


def test_labels(tmp_path):
    data = {
        "a.jpg": RED,
        "a.cls": "1\n",
        "b.jpg": BLUE,
        "b.cls": b"0",
        "b.txt": "blue!",
    }
    data |= {"c.jpg": RED, "c.cls": "2", "d.jpg": RED, "d.cls": "dog"}
    assert one(tmp_path, data, class_names="stl10").class_names[2] == "car"
    source = one(tmp_path, data, class_names=("sky", "fire"), templates=("a {}", "{}"))
    assert source.class_names == ("sky", "fire") and len(source) == 4
    assert (source[0].label, source[0].captions) == (1, ("a fire", "fire"))
    assert (source[1].label, source[1].captions) == (0, ("blue!",))
    assert cause_of(source, 2) == cause_of(source, 3) == "label_unreadable"
    plain = one(tmp_path, data)  # without names, labels alone are no captions
    assert (len(plain), plain[0].label, plain.dropped) == (1, 0, {"caption_missing": 3})
    named = {"a.jpg": RED, "a.cls": "dog", "a.txt": "a dog"}
    assert one(tmp_path, named)[0].label is None


def test_what_prepare_writes_is_read_back(tmp_path):
    mask = np.zeros((8, 8), bool)
    mask[2:4, 5] = True
    example = Example(
        image=RED,
        captions=("one", "two"),
        caption_weights=(0.25, 0.75),
        label=7,
        questions=(Question("what?", ("this", "that"), "q9"),),
        regions=(Region((5, 2, 6, 4), 3, mask), Region((0, 0, 1, 1), 4)),
        name="photos/1.jpg",
    )
    data = {"1.jpg": RED, "1.txt": "one", "1.json": json.dumps(to_json(example))}
    data |= {"2.jpg": RED, "2.json": json.dumps({"vlp_jax": "1", "captions": ["x"]})}
    source = one(tmp_path, data)
    found = source[0]
    assert (found.captions, found.caption_weights) == (("one", "two"), (0.25, 0.75))
    assert (found.label, found.questions) == (7, example.questions)
    assert np.array_equal(found.regions[0].mask, mask)
    assert found.regions[1] == example.regions[1]
    assert source[1] == Example(RED, ("x",), name="00.tar/2")
    assert one(tmp_path, data, captions="txt")[0].caption_weights == ()


# ---- what is refused


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        (
            {"captions": ("json.captoin",)},
            "no sample .* 'json.captoin'.*'json.caption'",
        ),
        ({"captions": ("txt", "text")}, "has a field 'text'; there are: jpg, json"),
        ({"captions": 5}, r"captions is \(5,\); expected names of fields"),
        ({"captions": ()}, "expected names of fields"),
        ({"image_column": "png"}, "has a field 'png'"),
        ({"caption_weights": (1.0,)}, "give captions, and one weight"),
        ({"captions": "txt", "caption_weights": (1.0, 2.0)}, "one weight for each"),
        ({"captions": "txt", "caption_weights": (-1.0,)}, "expected positive numbers"),
        ({"class_names": ("a",), "templates": ("a",)}, "template 'a' has no"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, keywords, said):
    data = pairs(1) | {"5.jpg": RED, "5.json": json.dumps({"caption": "a"})}
    with pytest.raises(ConfigError, match=said):
        one(tmp_path, data, **keywords)


def test_nothing_left(tmp_path):
    data = {"a.jpg": RED, "a.json": json.dumps({"alt_text": "a"}), "b.pkl": b"x"}
    with pytest.raises(ConfigError) as caught:
        one(tmp_path, data)
    said = str(caught.value)
    assert "caption_missing': 1" in said and "member_ignored': 1" in said
    assert "its fields are: jpg, json, json.alt_text" in said and "\n" not in said
    with pytest.raises(ConfigError, match="no sample with a picture"):
        one(tmp_path, {})


# ---- how it is used


def test_pickles_and_threads(tmp_path):
    for number in range(4):
        write_tar(tmp_path / "set" / f"{number}.tar", pairs(25, start=25 * number))
    source = WebDataset(str(tmp_path / "set"))
    copy = pickle.loads(pickle.dumps(source))
    order = np.random.default_rng(0).integers(100, size=2000).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(copy.__getitem__, order))
    assert [e.captions[0].split()[-1] for e in found] == [str(n) for n in order]
    assert [e.image for e in found] == [(RED, BLUE, GREEN)[n % 3] for n in order]


@pytest.mark.fault("F11")
def test_a_pass_in_the_order_of_its_blocks(tmp_path):
    """Every sample once, but for two broken ones, for which others stand in."""
    data = [pairs(20, start=20 * number) for number in range(4)]
    data[1]["0023.jpg"], data[2]["0047.txt"] = RED[:99], b"\xff"
    for number, members in enumerate(data):
        write_tar(tmp_path / "set" / f"{number}.tar", members)
    source = WebDataset(str(tmp_path / "set"))

    def prepare(image, rng):
        return np.asarray(decode_image(image))

    def tokenize(texts):
        numbers = [[int(text.split()[-1])] for text in texts]
        return np.array(numbers, np.int32), np.ones((len(texts), 1), bool)

    order = BlockOrder(source.blocks, seed=0, interleave=2)
    samples = PairSamples(source, order, prepare, tokenize, seed=0)
    batches = Loader(samples, 16, threads=2).batches(first_step=0)
    read = [next(batches) for _ in range(5)]
    batches.close()
    numbers = np.concatenate([b.arrays["pairs"]["text_tokens"][:, 0] for b in read])
    assert set(numbers) == set(range(80)) - {23, 47} and len(numbers) == 80
    bad = Counter()
    for batch in read:
        bad.update(batch.bad)
    assert bad == {"image_truncated": 1, "caption_unreadable": 1}


def test_remote_shards(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    for number in range(2):
        memory.pipe_file(f"/bucket/{number}.tar", tar_bytes(pairs(3, start=3 * number)))
    local = tmp_path / "set"
    for number in range(2):
        write_tar(local / f"{number}.tar", pairs(3, start=3 * number))
    source = WebDataset("memory://bucket/{0..1}.tar")
    same = WebDataset(str(local))
    assert [source[i] for i in range(6)] == [same[i] for i in range(6)]
    assert source.fingerprint == same.fingerprint
    assert source.remote and not same.remote
    assert len(list((tmp_path / "cache" / "vlp_jax" / "index").iterdir())) == 2
    memory.rm("/bucket/0.tar")
    with pytest.raises(ConfigError, match=r"memory://bucket/0\.tar: FileNotFound"):
        WebDataset("memory://bucket/{0..1}.tar")
    memory.rm("/bucket", recursive=True)

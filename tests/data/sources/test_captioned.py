"""Pictures with captions of their own, and what Karpathy's files say of them."""

import json
import pickle

import pytest

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.types import Example
from vlp_jax.data.sources.captioned import CaptionedPictures, is_karpathys


class Plain(CaptionedPictures):
    layout = "plain reads root/*.jpg"
    name = "plain"


def image(number: int, split: str, *captions: str) -> dict:
    return {
        "imgid": number,
        "split": split,
        "filename": f"{number}.jpg",
        "sentences": [{"raw": text, "sentid": k} for k, text in enumerate(captions)],
    }


IMAGES = [
    image(7, "test", "A dog.", "Two  dogs.\n"),
    image(3, "train", "A plate.", " "),
    image(5, "restval", ""),
]


@pytest.fixture
def karpathys(disk):
    """Opens splits of Karpathy's file; settings: of the file's content."""

    def opened(split: str, images=IMAGES, name_of=lambda entry: entry["filename"]):
        path = disk.json("dataset.json", {"dataset": "coco", "images": images})
        source = Plain(str(disk.root))
        source.add_karpathy(path, split, name_of)
        source.finish()
        return source

    return opened


def found(source) -> list[tuple]:
    return [(source[k].name, source[k].captions) for k in range(len(source))]


# ---- captions by the number of their picture


def test_captions_go_to_their_pictures_in_the_order_of_the_file(disk):
    disk.bytes("1.jpg", b"one")
    source = Plain(str(disk.root))
    for number in (9, 1, 4):
        source.add(number, f"{number}.jpg")
    captions = [
        (1, "first"),
        (9, " nine "),
        (1, "second"),
        (4, ""),
        (2, "of no picture"),
    ]
    for number, text in captions:
        source.add_caption(number, text)
    source.finish()
    assert len(source) == 2
    assert source[1] == Example(b"one", ("first", "second"), name="1.jpg")
    assert source.dropped == {"caption_missing": 2, "picture_not_listed": 1}
    with pytest.raises(BadSample, match=r"image_missing: .*9\.jpg"):
        source[0]
    assert pickle.loads(pickle.dumps(source))[1] == source[1]


def test_the_fingerprint_rests_on_every_caption(disk):
    def fingerprint(*texts):
        source = Plain(str(disk.root))
        source.add(1, "1.jpg")
        for text in texts:
            source.add_caption(1, text)
        source.finish()
        return source.fingerprint["plain"]

    assert fingerprint("a dog") == fingerprint(" a dog", "")  # what is read is the same
    prints = [fingerprint(*texts) for texts in (["a"], ["b"], ["a", "b"], ["b", "a"])]
    assert len(set(prints)) == 4


def test_nothing_but_captions_that_are_none(disk):
    source = Plain(str(disk.root))
    source.add(1, "1.jpg")
    source.add_caption(1, "\x07")
    with pytest.raises(ConfigError, match="nothing to read .*'caption_missing': 2"):
        source.finish()


# ---- Karpathy's files


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"dataset": "coco", "images": IMAGES}, True),
        ({"annotations": [{"sentences": 1}], "images": [{"id": 1}]}, False),
        ({"images": [{"id": 1}, {"sentences": []}]}, False),  # the first one decides
        ({"images": []}, False),
        ({"images": [5]}, False),
        ([1, 2], False),
    ],
)
def test_where_the_captions_stand_tells_whose_file_it_is(tmp_path, content, expected):
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert is_karpathys(tmp_path / "a.json") is expected


def test_the_splits_that_are_chosen(disk, karpathys):
    disk.pictures("7.jpg", "3.jpg", "5.jpg")
    test = karpathys("test")
    assert found(test) == [("7.jpg", ("A dog.", "Two dogs."))] and not test.dropped
    both = karpathys("restval + train")
    assert found(both) == [("3.jpg", ("A plate.",))]
    # Two captions that are empty, and a picture that has no other.
    assert both.dropped == {"caption_missing": 3}
    assert found(karpathys("test+train")) == [*found(test), *found(both)]


def test_the_reader_says_where_a_picture_lies(disk, karpathys):
    disk.pictures("photos/test/7.jpg")

    def name_of(entry):
        return f"photos/{entry['split']}/./{entry['filename']}"

    assert found(karpathys("test", name_of=name_of))[0][0] == "photos/test/7.jpg"


def test_splits_that_are_not_in_the_file(karpathys):
    with pytest.raises(ConfigError) as caught:
        karpathys("val+test")
    said = "dataset.json has no split 'val'; its splits: restval, test, train"
    assert str(caught.value).endswith(said)
    with pytest.raises(ConfigError, match="split of dataset.json 'tset'.*'test'"):
        karpathys("tset")


@pytest.mark.parametrize("name", ["/etc/passwd", "../7.jpg", "http://x.org/7.jpg"])
def test_names_that_leave_the_root_are_refused(karpathys, name):
    with pytest.raises(ConfigError, match="dataset.json: .*(outside the|is a URL)"):
        karpathys(
            "test", [image(1, "train", "x") | {"filename": name, "split": "test"}]
        )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"imgid": 1}, "no 'split'"),
        ({"imgid": 1, "split": "test", "filename": "1.jpg"}, "no 'sentences'"),
        (image(1, "test") | {"sentences": [{"text": "x"}]}, "no 'raw'"),
        (image(1, "test") | {"sentences": 3}, "int"),
        (image(1, "test") | {"imgid": "x"}, "an entry is not as expected"),
        (7, "an entry is not as expected"),
    ],
)
def test_entries_of_another_form(karpathys, wrong, said):
    form = "; expected Karpathy's form: images with filename, split and sentences"
    with pytest.raises(ConfigError, match=f"{said}.*{form}"):
        karpathys("test", [*IMAGES, wrong])

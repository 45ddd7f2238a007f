"""Pictures with a class, texts with one, and a few of each class."""

from collections import Counter

import numpy as np
import pytest

from tests.data.numbered import LENGTH, Numbers, prepare, tokenize
from vlp_jax.core.errors import BAD_SAMPLE_CAUSES, BadSample, ConfigError
from vlp_jax.core.types import Example
from vlp_jax.data.labels import FewShots, LabelledPictures, LabelledTexts
from vlp_jax.data.order import Order


class Classed(Numbers):
    """Example i is of class i % 3; every tenth has no label, 7 cannot be read."""

    class_names = ("cat", "dog", "cow")
    fingerprint = {"numbers": "abc"}

    def __getitem__(self, index: int) -> Example:
        if index == 7:
            raise BadSample("image_truncated")
        found = super().__getitem__(index)
        label = None if index % 10 == 0 else index % 3
        return Example(found.image, found.captions, label=label, name=found.name)


def samples(kind, source, prepare=prepare, classes=3):
    order = Order(len(source), seed=0)
    return kind(source, order, prepare, tokenize, 0, classes=classes)


def shapes(sample: dict) -> dict:
    return {key: (value.shape, value.dtype.name) for key, value in sample.items()}


COMMON = {
    "label": ((), "int32"),
    "valid": ((), "bool"),
    "sample_id": ((), "int32"),
    "bad": ((len(BAD_SAMPLE_CAUSES),), "int32"),
}


def test_a_picture_and_its_class():
    found = samples(LabelledPictures, Classed(40))
    assert shapes(found[3]) == {"image": ((4, 4, 3), "uint8"), **COMMON}
    for position in range(40):
        sample = found[position]
        assert sample["label"] == sample["sample_id"] % 3
        assert sample["sample_id"] % 10 and sample["sample_id"] != 7
    bad = sum(found[position]["bad"] for position in range(40))
    causes = dict(zip(BAD_SAMPLE_CAUSES, bad, strict=True))
    assert causes["label_missing"] >= 4 and causes["image_truncated"] == 1


def test_a_text_and_its_class_without_a_look_at_the_picture():
    def never(image, rng):
        raise AssertionError("a picture was decoded")

    found = samples(LabelledTexts, Classed(40), never)
    texts = (((LENGTH,), "int32"), ((LENGTH,), "bool"))
    names = ("text_tokens", "text_mask")
    assert shapes(found[3]) == dict(zip(names, texts, strict=True)) | COMMON
    sample = found[5]
    text = "".join(map(chr, sample["text_tokens"][sample["text_mask"]]))
    assert text.split()[0] == str(sample["sample_id"])
    assert sample["label"] == sample["sample_id"] % 3


def test_a_label_without_a_name():
    found = samples(LabelledPictures, Classed(40), classes=2)
    with pytest.raises(ConfigError, match=r"has the label 2; expected one of 0\.\.1"):
        for position in range(40):
            found[position]


def few_shots(source, shots, seed=0, names=Classed.class_names):
    return FewShots(source, shots, seed, names)


def test_so_many_of_each_class():
    few = few_shots(Classed(60), 4)
    assert len(few) == 12 and few.class_names == ("cat", "dog", "cow")
    assert Counter(few[i].label for i in range(12)) == {0: 4, 1: 4, 2: 4}
    assert few.indices == few_shots(Classed(60), 4).indices
    other = few_shots(Classed(60), 4, seed=1)
    assert few.indices != other.indices and few.fingerprint != other.fingerprint
    assert few.fingerprint != few_shots(Classed(60), 5).fingerprint
    assert "4 a class" in few.name


def test_fewer_than_wanted_and_none():
    all_of_them = few_shots(Classed(12), 99)
    assert all_of_them.indices == [1, 2, 3, 4, 5, 6, 8, 9, 11]
    four = ("cat", "dog", "cow", "hen")
    with pytest.raises(ConfigError, match="no example of 'hen' .1 such"):
        few_shots(Classed(12), 2, names=four)
    with pytest.raises(ConfigError, match="names no classes to draw from"):
        few_shots(Classed(12), 2, names=())
    assert np.shape(all_of_them[0].image)

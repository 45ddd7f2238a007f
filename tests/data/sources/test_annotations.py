"""Flat arrays hold what lists of lists would."""

import pickle
from collections import defaultdict

import numpy as np
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.sources.annotations import (
    AnnotatedPictures,
    Groups,
    Texts,
    chosen_splits,
)


def test_texts_come_back():
    texts = Texts()
    expected = ["", "a dog", "café \U0001f436", "", "lone \ud83d", "x" * 10_000]
    for text in expected:
        texts.append(text)
    assert len(texts) == 6 and [texts[k] for k in range(6)] == expected
    again = pickle.loads(pickle.dumps(texts))
    assert [again[k] for k in range(6)] == expected and again.digest() == texts.digest()
    joined = Texts()
    for text in ["a", " dog", *expected[2:]]:
        joined.append(text)
    assert joined.digest() != texts.digest()


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_of_a_dictionary(seed):
    rng = np.random.default_rng(seed)
    pictures = rng.permutation(10**9 + np.arange(40))[:30]
    owners = 10**9 + rng.integers(-5, 45, 200)
    by_owner = defaultdict(list)
    for entry, owner in enumerate(owners.tolist()):
        by_owner[owner].append(entry)
    groups = Groups(owners, pictures)
    expected = [by_owner[number] for number in pictures.tolist()]
    assert [groups[k] for k in range(30)] == expected
    assert groups.sizes.tolist() == [len(entries) for entries in expected]
    assert groups.strays == 200 - sum(map(len, expected)) > 0


def test_groups_of_nothing():
    groups = Groups([], [3, 1])
    assert groups[0] == groups[1] == [] and groups.strays == 0
    assert Groups([1, 1], [3])[0] == []


class Plain(AnnotatedPictures):
    layout = "plain reads root/*.jpg"
    name = "plain"


def test_pictures_without_entries_are_left_out(tmp_path):
    source = Plain(str(tmp_path))
    for number in (5, 3, 4):
        source.add(number, f"{number}.jpg")
        (tmp_path / f"{number}.jpg").write_bytes(b"picture %d" % number)
    groups = source.keep([4, 5, 4, 9], "caption_missing")
    assert len(source) == 2
    assert source.dropped == {"picture_not_listed": 1, "caption_missing": 1}
    assert source.read(1) == (2, "4.jpg", b"picture 4") and groups[2] == [0, 2]
    assert set(source.fingerprint) == {"plain"}


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(ConfigError, match="no folder 'nowhere'.*\nplain reads root"):
        Plain("nowhere")
    source = Plain(str(tmp_path))
    with pytest.raises(ConfigError, match="plain: the annotations list no picture"):
        source.keep([], "caption_missing")
    source.add(1, "1.jpg")
    with pytest.raises(ConfigError, match="nothing to read .*'picture_not_listed': 1"):
        source.keep([2], "caption_missing")
    with pytest.raises(ConfigError, match="no a.json or b.json below .*\nplain reads"):
        source.find("a.json", "b.json")
    with pytest.raises(ConfigError, match="no captions file 'c.json'; looked in"):
        source.table("c.json")


def test_splits():
    known = ("train", "restval", "val")
    assert chosen_splits("train + restval+train", known, "x") == ("train", "restval")
    for wrong in ("", "train+", "test", "train,val"):
        with pytest.raises(ConfigError, match="unknown split of x"):
            chosen_splits(wrong, known, "x")

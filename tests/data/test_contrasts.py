"""A picture with its first caption or one that is nearly right, half and half."""

from collections import Counter

import numpy as np
import pytest

from tests.data.numbered import LENGTH, Numbers, prepare, tokenize
from vlp_jax.core.errors import BAD_SAMPLE_CAUSES
from vlp_jax.core.types import Example
from vlp_jax.data.contrasts import ContrastSamples, spread_contrasts
from vlp_jax.data.order import Order
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.data.sources.scene_words import MENTION, plain, says


class Contrasted(Numbers):
    """Example i: 'i a', 'i b'; wrong are 'i c', 'i d' and 'i e'.

    Every tenth has nothing wrong, every tenth from 5 on nothing right.
    """

    def __getitem__(self, index: int) -> Example:
        found = super().__getitem__(index)
        right = () if index % 10 == 5 else found.captions
        wrong = () if index % 10 == 0 else tuple(f"{index} {x}" for x in "cde")
        return Example(found.image, right, negatives=wrong, name=found.name)


def contrasts(source, tokenize=tokenize) -> ContrastSamples:
    order = Order(len(source), seed=0)
    return ContrastSamples(source, order, prepare, tokenize, seed=0)


def text(sample: dict) -> str:
    return "".join(map(chr, sample["text_tokens"][sample["text_mask"]]))


def test_a_sample():
    found = contrasts(Contrasted(40))[7]
    assert {key: (value.shape, value.dtype.name) for key, value in found.items()} == {
        "image": ((4, 4, 3), "uint8"),
        "text_tokens": ((LENGTH,), "int32"),
        "text_mask": ((LENGTH,), "bool"),
        "fits": ((), "bool"),
        "valid": ((), "bool"),
        "sample_id": ((), "int32"),
        "bad": ((len(BAD_SAMPLE_CAUSES),), "int32"),
    }
    assert text(found).split()[0] == str(found["sample_id"])
    again = contrasts(Contrasted(40))[7]
    assert all(np.array_equal(found[key], again[key]) for key in found)


@pytest.mark.long
def test_half_are_right_and_wrong_ones_are_drawn_alike():
    found = contrasts(Contrasted(40))
    drawn = Counter()
    for position in range(4000):
        sample = found[position]
        drawn[text(sample).split()[1], bool(sample["fits"])] += 1
    shares = {drawn: count / 4000 for drawn, count in drawn.items()}
    expected = {("a", True): 1 / 2} | {(letter, False): 1 / 6 for letter in "cde"}
    assert shares == pytest.approx(expected, abs=0.03)


def test_what_cannot_be_used_is_counted_by_its_cause():
    found = contrasts(Contrasted(40, {3: "image_empty"}))
    counts = sum(found[position]["bad"] for position in range(40)).tolist()
    counts = dict(zip(BAD_SAMPLE_CAUSES, counts, strict=True))
    assert {cause: n for cause, n in counts.items() if n} == {
        "image_empty": 1,
        "caption_missing": 4,
        "negative_missing": 4,
    }


def test_a_tokenizer_is_trained_on_right_and_wrong_captions():
    found = list(spread_contrasts(Contrasted(10, {9: "image_empty"}), 3))
    assert found == ["0 a", "4 a", "4 c", "4 d", "4 e"]  # examples 0, 4 and not 9


# ---- digit scenes


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Example, str, bool]]:
    """(example, text, whether it fits) of many samples."""
    source, texts = DigitScenes(size=300), []

    def keep(given):
        texts.extend(given)
        return tokenize(["" for _ in given])

    found = contrasts(source, keep)
    found.prepare = lambda image, rng: image
    samples = [found[position] for position in range(600)]
    return [
        (source[int(sample["sample_id"])], text, bool(sample["fits"]))
        for sample, text in zip(samples, texts, strict=True)
    ]


def test_right_and_wrong_are_told_apart_by_what_they_say(scenes):
    for example, told, fits in scenes:
        assert (says(told) == says(example.captions[1])) == fits, told


def test_every_attribute_is_wrong_sometimes(scenes):
    kinds = Counter(
        dict(zip(example.negatives, example.negative_kinds, strict=True))[told]
        for example, told, fits in scenes
        if not fits
    )
    assert set(kinds) == {"digit", "colour", "size", "relation"}
    assert min(kinds.values()) > 30


def test_the_form_of_a_caption_does_not_tell(scenes):
    """Each is worded as the first caption is, so that only the picture can tell."""
    forms = {}
    for _, told, fits in scenes:
        forms.setdefault(MENTION.sub("X", plain(told)), []).append(fits)
    assert len(forms) == 5  # one, two and three digits, in a row or a column
    assert all(0.35 < np.mean(found) < 0.65 for found in forms.values())

"""Captions that are wrong in one attribute, and in nothing else."""

from collections import Counter

import numpy as np
import pytest

from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.data.sources.scene import Digit, Scene
from vlp_jax.data.sources.scene_negatives import negatives, other_orders
from vlp_jax.data.sources.scene_words import names_all, says

ATTRIBUTES = ("digit", "colour", "size")


def differences(one: Scene, other: Scene) -> list[str]:
    """The attributes in which digits at the same place differ, one for each."""
    pairs = zip(one.digits, other.digits, strict=True)
    return [k for a, b in pairs for k in ATTRIBUTES if getattr(a, k) != getattr(b, k)]


def test_a_negative_is_wrong_in_one_attribute(examples):
    seen = Counter()
    for scene, example in examples:
        several = len(scene.digits) > 1
        kinds = (*ATTRIBUTES, *(["relation"] if several else []))
        assert example.negative_kinds == kinds
        for kind, caption in zip(kinds, example.negatives, strict=True):
            other = says(caption)
            assert other is not None and other != scene
            if kind == "relation":
                assert sorted(other.digits) == sorted(scene.digits)
                swapped = other.relation == scene.relation
                assert swapped or other.digits == scene.digits
                seen["swapped" if swapped else "turned"] += 1
            else:
                assert other.relation == scene.relation
                assert differences(scene, other) == [kind]
            assert names_all(scene, caption) == (kind in ("size", "relation"))
    assert min(seen["swapped"], seen["turned"]) > 10


def test_a_negative_is_the_first_caption_but_for_a_word(examples):
    for scene, example in examples:
        own = example.captions[0].split()
        kinds = zip(example.negative_kinds, example.negatives, strict=True)
        for kind, caption in kinds:
            if kind == "relation":
                assert len(scene.digits) > 1
                continue
            words = caption.split()
            changed = [a for a, b in zip(own, words, strict=True) if a != b]
            assert len(changed) == 1


def test_every_value_and_every_place_is_changed():
    source = DigitScenes(size=600, canvas=24)
    places, digits = Counter(), set()
    for index in range(600):
        scene, example = source.scene(index), source[index]
        other = says(example.negatives[0])
        pairs = zip(scene.digits, other.digits, strict=True)
        place = [a != b for a, b in pairs].index(True)
        places[len(scene.digits), place] += 1
        digits.add((scene.digits[place].digit, other.digits[place].digit))
    assert len(digits) == 90
    assert places.keys() == {(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)}
    assert min(places.values()) > 15


ONE, TWO = Digit(1, "red", "small"), Digit(2, "blue", "big")


@pytest.mark.parametrize(
    ("scene", "orders"),
    [
        (Scene("alone", (ONE,)), []),
        (Scene("row", (ONE, TWO)), [("row", [1, 0]), ("column", [0, 1])]),
        (Scene("column", (ONE, ONE)), [("row", [0, 1])]),  # swapped it would be true
        (
            Scene("row", (ONE, TWO, ONE)),
            [("row", [1, 0, 2]), ("row", [0, 2, 1]), ("column", [0, 1, 2])],
        ),
    ],
)
def test_orders_in_which_a_caption_is_false(scene, orders):
    assert other_orders(scene) == orders


def test_words_travel_with_their_digits():
    draws = np.array([[0.9, 0.9], [0.0, 0.0]])  # a tiny one in red, a big blue two
    found = {
        negatives(Scene("row", (ONE, TWO)), draws, np.random.default_rng(seed))[
            "relation"
        ]
        for seed in range(20)
    }
    assert found == {
        "a big blue two to the left of a tiny one in red",
        "a tiny one in red above a big blue two",
    }

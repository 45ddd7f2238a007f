"""What is said of a digit scene is true of it and of no other, in its exact words."""

import re

import numpy as np
import pytest

from vlp_jax.core.types import Question
from vlp_jax.data.sources import scene_words
from vlp_jax.data.sources.scene import COLOURS, Digit, Scene
from vlp_jax.data.sources.scene_words import (
    captions,
    describe,
    draw_words,
    mentions,
    names_all,
    questions,
    says,
    with_article,
)

NUMBERS = "zero one two three four five six seven eight nine".split()


SIZES = {
    "small": "small", "little": "small", "tiny": "small", "big": "big", "large": "big",
}  # fmt: skip


MENTION = re.compile(
    rf"an? ({'|'.join(SIZES)}) (?:({'|'.join(COLOURS)}) ({'|'.join(NUMBERS)})"
    rf"|({'|'.join(NUMBERS)}) in ({'|'.join(COLOURS)}))\b"
)


# What a caption without its digits says, and where in the scene the digits stand that
# it mentions first, second and third.
SKELETONS = {
    "X": ("alone", (0,)),
    "a picture of X": ("alone", (0,)),
    "X on a dark canvas": ("alone", (0,)),
    "there is only X": ("alone", (0,)),
    "we see X here": ("alone", (0,)),
    "X to the left of X": ("row", (0, 1)),
    "X to the right of X": ("row", (1, 0)),
    "X on the left and X on the right": ("row", (0, 1)),
    "X with X to its right": ("row", (0, 1)),
    "on the right X, on the left X": ("row", (1, 0)),
    "X above X": ("column", (0, 1)),
    "X below X": ("column", (1, 0)),
    "X at the top and X at the bottom": ("column", (0, 1)),
    "X with X under it": ("column", (0, 1)),
    "at the bottom X, at the top X": ("column", (1, 0)),
    "from left to right: X, X and X": ("row", (0, 1, 2)),
    "X on the left, X in the middle and X on the right": ("row", (0, 1, 2)),
    "X between X on the left and X on the right": ("row", (1, 0, 2)),
    "from right to left: X, X and X": ("row", (2, 1, 0)),
    "a row of X, X and X": ("row", (0, 1, 2)),
    "from top to bottom: X, X and X": ("column", (0, 1, 2)),
    "X at the top, X in the middle and X at the bottom": ("column", (0, 1, 2)),
    "X between X at the top and X at the bottom": ("column", (1, 0, 2)),
    "from bottom to top: X, X and X": ("column", (2, 1, 0)),
    "a column of X, X and X": ("column", (0, 1, 2)),
}


PLACES = {
    "row": ["on the left", "in the middle", "on the right"],
    "column": ["at the top", "in the middle", "at the bottom"],
}


def understood(caption: str) -> Scene:
    """The scene that a caption describes; there is only one."""
    mentions = [
        Digit(NUMBERS.index(m[3] or m[4]), m[2] or m[5], SIZES[m[1]])
        for m in MENTION.finditer(caption)
    ]
    relation, stands = SKELETONS[MENTION.sub("X", caption)]
    digits = dict(zip(stands, mentions, strict=True))
    return Scene(relation, tuple(digits[i] for i in range(len(digits))))


def test_captions_are_pairwise_distinguishable(test_split):
    """Every caption describes its own scene and so none of the 499 others."""
    owner = {test_split.scene(index): index for index in range(500)}
    for index in range(500):
        captions = test_split[index].captions
        assert len(captions) == 5 and len(set(captions)) == 5
        assert [owner.get(understood(c)) for c in captions] == [index] * 5


def test_training_captions_describe_their_scene(examples):
    for scene, example in examples:
        assert {understood(caption) for caption in example.captions} == {scene}


def answer(scene: Scene, question: str) -> str:
    """The answer, found from the question's words."""
    if question == "how many digits are there?":
        return NUMBERS[len(scene.digits)]
    if question == "is there a big digit?":
        return "yes" if any(d.size == "big" for d in scene.digits) else "no"
    places = PLACES.get(scene.relation, [""])
    if len(scene.digits) == 2:
        places = [places[0], places[2]]
    (digit, place), *others = [
        (digit, place)
        for digit, place in zip(scene.digits, places, strict=True)
        if place in question
    ]
    assert not others
    return {
        "which digit is": NUMBERS[digit.digit],
        "which digit is shown": NUMBERS[digit.digit],
        "what colour is the digit": digit.colour,
        "what size is the digit": digit.size,
    }[question.removesuffix(f"{place}?").strip(" ?")]


def test_questions_have_their_one_right_answer(examples):
    for scene, example in examples:
        asked = [question.text for question in example.questions]
        assert len(asked) == len(set(asked)) == 2 + 3 * len(scene.digits)
        for question in example.questions:
            assert question.answers == (answer(scene, question.text),)


# ---- the words themselves

ONE, BIG = Digit(1, "red", "small"), Digit(8, "green", "big")


class Draws:
    """A generator whose draws are all the same."""

    def __init__(self, draw: float):
        self.draw = draw

    def random(self, shape):
        return np.full(shape, self.draw)


@pytest.mark.parametrize(
    ("digit", "draws", "words"),
    [
        (ONE, (0.0, 0.0), "a small red one"),
        (ONE, (0.34, 0.74), "a little red one"),
        (ONE, (0.99, 0.75), "a tiny one in red"),
        (BIG, (0.49, 0.0), "a big green eight"),
        (BIG, (0.5, 0.99), "a large eight in green"),
    ],
)
def test_a_digit_in_words(digit, draws, words):
    assert describe(digit, np.array(draws)) == words


@pytest.mark.parametrize(
    ("phrase", "with_it"),
    [("orange eight", "an orange eight"), ("tiny one", "a tiny one")],
)
def test_articles(phrase, with_it):
    assert with_article(phrase) == with_it


@pytest.mark.parametrize(
    ("relation", "digits", "first", "last"),
    [
        ("alone", (ONE,), "a small red one", "we see a small red one here"),
        (
            "row",
            (ONE, BIG),
            "a small red one to the left of a big green eight",
            "on the right a big green eight, on the left a small red one",
        ),
        (
            "column",
            (BIG, ONE, BIG),
            "from top to bottom: a big green eight, a small red one and a big green "
            "eight",
            "a column of a big green eight, a small red one and a big green eight",
        ),
    ],
)
def test_captions_in_full(relation, digits, first, last):
    scene = Scene(relation, digits)
    found = captions(scene, draw_words(scene, Draws(0.0)))
    assert len(found) == 5 and (found[0], found[-1]) == (first, last)


def test_every_mention_is_worded_anew():
    """The same digit twice in a caption need not have the same name."""
    rng = np.random.default_rng(0)
    scene = Scene("row", (ONE, ONE))
    found = [captions(scene, draw_words(scene, rng))[0] for _ in range(50)]
    named = [caption.split(" to the left of ") for caption in found]
    assert 10 < sum(one != other for one, other in named) < 50


def test_questions_in_full():
    assert questions(Scene("alone", (ONE,))) == (
        Question("how many digits are there?", ("one",)),
        Question("which digit is shown?", ("one",)),
        Question("what colour is the digit?", ("red",)),
        Question("what size is the digit?", ("small",)),
        Question("is there a big digit?", ("no",)),
    )
    found = questions(Scene("column", (BIG, ONE)))
    assert found[0].answers == ("two",) and found[-1].answers == ("yes",)
    assert [question.text for question in found[1:4]] == [
        "which digit is at the top?",
        "what colour is the digit at the top?",
        "what size is the digit at the top?",
    ]
    assert [question.answers for question in found[4:7]] == [
        ("one",),
        ("red",),
        ("small",),
    ]


# ---- captions read back


def test_every_caption_is_read_back(examples):
    for scene, example in examples:
        assert {says(caption) for caption in example.captions} == {scene}
        assert all(names_all(scene, caption) for caption in example.captions)


def test_no_caption_names_all_of_another_scene(test_split):
    """Unless both show the same digits in the same colours."""
    scenes = [test_split.scene(index) for index in range(100)]
    shown = [sorted((d.digit, d.colour) for d in scene.digits) for scene in scenes]
    for index, mine in enumerate(shown):
        caption = test_split[index].captions[index % 5]
        found = [names_all(scene, caption) for scene in scenes]
        assert found == [mine == other for other in shown]


def test_templates_tell_all_relations_apart():
    known = {words: (name, tuple(n)) for words, (name, n) in SKELETONS.items()}
    found = scene_words.SKELETONS.items()
    assert len(found) == sum(map(len, scene_words.TEMPLATES.values())) == 25
    plain = {re.sub("[,:]", "", words): said for words, said in known.items()}
    assert {words: (name, tuple(n)) for words, (name, n) in found} == plain


TWO = Scene("row", (ONE, BIG))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a small red one to the left of a big green eight", TWO),
        ("A tiny red one , to the LEFT of a large eight in green.", TWO),
        ("small red one to the left of big green eight", TWO),
        (
            "red one to the left of big green eight",
            Scene("row", (Digit(1, "red", None), BIG)),
        ),
        ("a big green eight to the left of a small red one", Scene("row", (BIG, ONE))),
        ("a small red one beside a big green eight", None),  # no template
        ("a small red one to the left of a big eight", None),  # in which colour?
        ("a small red one to the left of a big green eight and a two", None),
        ("a small red one to the left of", None),
        ("x to the left of x", None),
        ("", None),
    ],
)
def test_what_a_caption_says(text, said):
    assert says(text) == said


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("a green eight and a red one", True),  # order, size and words are free
        ("there is a red one; also an eight in green", True),
        ("a big red one above a small green eight", True),
        ("a red one", False),
        ("a red one and a green eight and a red one", False),
        ("a green one and a red eight", False),
        ("a red one and a green eight and a blue", False),
        ("a red one, a green eight, seven", False),
        ("a red eight in green and a one", False),
        ("", False),
    ],
)
def test_whether_all_are_named(text, right):
    assert names_all(TWO, text) == right
    assert names_all(Scene("column", (BIG, ONE)), text) == right


def test_digits_that_are_alike_are_counted():
    twice = Scene("row", (ONE, Digit(1, "red", "big")))
    assert names_all(twice, "a red one and a red one")
    assert not names_all(twice, "a red one")
    assert mentions("a red one and a tiny one in red") == [
        Digit(1, "red", None),
        ONE,
    ]
    assert mentions("nothing") == [] and mentions("something red") is None

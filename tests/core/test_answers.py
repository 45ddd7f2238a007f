"""The normal form of answers, as the official evaluation of VQA has it."""

import random

import pytest

from vlp_jax.core.answers import (
    ARTICLES,
    CONTRACTIONS,
    NUMERALS,
    PUNCTUATION,
    REPAIRS,
    normalise_answer,
)

# What the official code (GT-Vision-Lab/VQA, vqaEval.py) makes of each.
NORMAL = {
    "Yes": "yes",
    " A red\tcar\n": "red car",
    "the": "",
    "An apple and a pear": "apple and pear",
    "two": "2",
    "None": "0",
    "ten dogs, eleven cats": "10 dogs eleven cats",
    "twenty-one": "twenty 1",  # a hyphen within a word becomes a blank
    "black - white": "black white",  # and goes where one stands beside a blank,
    "t-shirt - red": "tshirt red",  # everywhere in the answer
    "black/white": "black white",
    "10,000": "10000",
    "1,000 (about)/day": "1000 aboutday",  # with such a comma every mark goes
    "red,white": "red white",
    "red, white,blue": "red whiteblue",
    "3.5": "3.5",
    "$3.50.": "$3.50",
    "U.S.A.": "usa",
    ".5": ".5",
    "it's": "it's",
    "its": "its",
    "Dont": "don't",
    "couldntve": "couldntve",  # two are missing
    "couldn'tve": "couldn't've",
    "yall'd've": "y'all'd've",
    "ow's'at": "'ow's'at",
    "somebody'd": "somebodyd",
    "Im": "im",  # their table has it with a capital, which never matches
    "what?!": "what",
    "100%": "100%",
    "w/o": "w o",
    "<a>b": "b",
    "rock'n'roll; jazz": "rock'n'roll jazz",
}


@pytest.mark.parametrize("text", NORMAL)
def test_normal_form(text):
    assert normalise_answer(text) == NORMAL[text]


def test_a_normal_form_is_its_own():
    """So that classes can be compared with answers that were normalised once more."""
    rng = random.Random(0)
    pieces = [*PUNCTUATION, *".':$%", *"0123456789", *"  \t\n", *ARTICLES, *NUMERALS]
    pieces += [*REPAIRS, "None", "U.S.", "tree"]
    for _ in range(5000):
        text = "".join(rng.choice(pieces) + rng.choice(" -") for _ in range(6))
        found = normalise_answer(text)
        assert normalise_answer(found) == found, text


def test_the_words_that_are_repaired():
    assert len(CONTRACTIONS) == len(set(CONTRACTIONS)) == 92
    assert len(REPAIRS) == 114  # those of their table that can match and change
    assert not REPAIRS.keys() & set(CONTRACTIONS)
    for word in ("were", "well", "ill", "shell", "lets", "its", "id"):
        assert word not in REPAIRS  # words of their own

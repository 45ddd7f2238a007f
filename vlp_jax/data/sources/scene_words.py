"""What can be said and asked about a digit scene."""

from typing import TYPE_CHECKING

import numpy as np

from vlp_jax.core.types import Question

if TYPE_CHECKING:
    from vlp_jax.data.sources.digit_scenes import Digit, Scene

NUMBERS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
)
SIZE_WORDS = {"small": ("small", "little", "tiny"), "big": ("big", "large")}

# {0}, {1}, {2}: the digits in the scene's own order (left to right, top to bottom).
TEMPLATES = {
    ("alone", 1): (
        "{0}",
        "a picture of {0}",
        "{0} on a dark canvas",
        "there is only {0}",
        "we see {0} here",
    ),
    ("row", 2): (
        "{0} to the left of {1}",
        "{1} to the right of {0}",
        "{0} on the left and {1} on the right",
        "{0} with {1} to its right",
        "on the right {1}, on the left {0}",
    ),
    ("column", 2): (
        "{0} above {1}",
        "{1} below {0}",
        "{0} at the top and {1} at the bottom",
        "{0} with {1} under it",
        "at the bottom {1}, at the top {0}",
    ),
    ("row", 3): (
        "from left to right: {0}, {1} and {2}",
        "{0} on the left, {1} in the middle and {2} on the right",
        "{1} between {0} on the left and {2} on the right",
        "from right to left: {2}, {1} and {0}",
        "a row of {0}, {1} and {2}",
    ),
    ("column", 3): (
        "from top to bottom: {0}, {1} and {2}",
        "{0} at the top, {1} in the middle and {2} at the bottom",
        "{1} between {0} at the top and {2} at the bottom",
        "from bottom to top: {2}, {1} and {0}",
        "a column of {0}, {1} and {2}",
    ),
}
PLACES = {
    ("row", 2): ("on the left", "on the right"),
    ("column", 2): ("at the top", "at the bottom"),
    ("row", 3): ("on the left", "in the middle", "on the right"),
    ("column", 3): ("at the top", "in the middle", "at the bottom"),
}


def with_article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def describe(digit: "Digit", draws: np.ndarray) -> str:
    """One way to name a digit with its size and colour; draws are two of 0..1."""
    words = SIZE_WORDS[digit.size]
    size = words[int(draws[0] * len(words))]
    number = NUMBERS[digit.digit]
    if draws[1] < 0.75:
        return with_article(f"{size} {digit.colour} {number}")
    return with_article(f"{size} {number} in {digit.colour}")


def captions(scene: "Scene", rng: np.random.Generator) -> tuple[str, ...]:
    """Five captions; each says the whole combination, so none fits another scene."""
    templates = TEMPLATES[scene.relation, len(scene.digits)]
    draws = rng.random((len(templates), len(scene.digits), 2))
    return tuple(
        template.format(*map(describe, scene.digits, mine))
        for template, mine in zip(templates, draws, strict=True)
    )


def questions(scene: "Scene") -> tuple[Question, ...]:
    """Questions with one right answer each."""
    asked = [("how many digits are there?", NUMBERS[len(scene.digits)])]
    if len(scene.digits) == 1:
        where = [""]
    else:
        where = [f" {place}" for place in PLACES[scene.relation, len(scene.digits)]]
    for digit, place in zip(scene.digits, where, strict=True):
        asked += [
            (f"which digit is{place or ' shown'}?", NUMBERS[digit.digit]),
            (f"what colour is the digit{place}?", digit.colour),
            (f"what size is the digit{place}?", digit.size),
        ]
    sizes = [digit.size for digit in scene.digits]
    asked.append(("is there a big digit?", "yes" if "big" in sizes else "no"))
    return tuple(Question(question, (answer,)) for question, answer in asked)

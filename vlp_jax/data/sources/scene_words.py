"""What can be said and asked about a digit scene."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vlp_jax.core.types import Question
from vlp_jax.data.sources.scene import COLOUR_NAMES, Digit, Scene

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


def describe(digit: Digit, draws: Sequence[float]) -> str:
    """One way to name a digit with its size and colour; draws are two of 0..1."""
    words = SIZE_WORDS[digit.size]
    size = words[int(draws[0] * len(words))]
    number = NUMBERS[digit.digit]
    if draws[1] < 0.75:
        return with_article(f"{size} {digit.colour} {number}")
    return with_article(f"{size} {number} in {digit.colour}")


def draw_words(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Draws of 0..1 [templates, digits, 2]: how each caption names each digit."""
    templates = TEMPLATES[scene.relation, len(scene.digits)]
    return rng.random((len(templates), len(scene.digits), 2))


def captions(scene: Scene, draws: np.ndarray) -> tuple[str, ...]:
    """Five captions; each says the whole combination, so none fits another scene.

    draws: those of `draw_words`.
    """
    templates = TEMPLATES[scene.relation, len(scene.digits)]
    return tuple(
        template.format(*map(describe, scene.digits, mine))
        for template, mine in zip(templates, draws.tolist(), strict=True)
    )


def questions(scene: Scene) -> tuple[Question, ...]:
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


# ---- captions read back

SIZE_OF = {word: size for size, words in SIZE_WORDS.items() for word in words}
ANY_SIZE, COLOUR, NUMBER = map("|".join, (SIZE_OF, COLOUR_NAMES, NUMBERS))
MENTION = re.compile(
    rf"\b(?:an? )?(?:({ANY_SIZE}) )?"
    rf"(?:({COLOUR}) ({NUMBER})|({NUMBER}) in ({COLOUR}))\b"
)
TELLING = re.compile(rf"\b({COLOUR}|{NUMBER})\b")


def plain(text: str) -> str:
    """The words of a text in lower case; whatever stands between them is a blank."""
    return " ".join(re.findall("[a-z]+", text.lower()))


def _skeletons() -> dict[str, tuple[str, list[int]]]:
    """{template with X for each digit: (relation, the digits in their order there)}."""
    found = {}
    for (relation, _), templates in TEMPLATES.items():
        for template in templates:
            order = [int(number) for number in re.findall(r"\{(\d)\}", template)]
            pieces = map(plain, re.split(r"\{\d\}", template))
            found[" ".join(" X ".join(pieces).split())] = relation, order
    return found


SKELETONS = _skeletons()


def mentions(text: str) -> list[Digit] | None:
    """The digits that a caption names, as they come; None where it says more of digits
    or colours than that ('a red three and a blue')."""
    text = plain(text)
    if TELLING.search(MENTION.sub("X", text)):
        return None
    return [
        Digit(NUMBERS.index(m[3] or m[4]), m[2] or m[5], SIZE_OF.get(m[1]))
        for m in MENTION.finditer(text)
    ]


def says(text: str) -> Scene | None:
    """The scene that a caption describes; None where it follows no template.

    A size that is not told is None. Capitals, punctuation and articles are free.
    """
    named, words = mentions(text), MENTION.sub("X", plain(text))
    if named is None or words not in SKELETONS:
        return None
    relation, order = SKELETONS[words]
    digits = sorted(zip(order, named, strict=True))
    return Scene(relation, tuple(digit for _, digit in digits))


def names_all(scene: Scene, text: str) -> bool:
    """Whether a caption names every digit of a scene with its colour, and no other.

    In whatever words; sizes and places do not count.
    """
    named = mentions(text)
    if named is None:
        return False
    shown = Counter((digit.digit, digit.colour) for digit in scene.digits)
    return shown == Counter((digit.digit, digit.colour) for digit in named)

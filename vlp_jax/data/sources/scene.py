"""What a digit scene shows, before it is painted or put into words."""

from typing import NamedTuple

COLOURS = {
    "red": (235, 50, 45),
    "green": (60, 200, 70),
    "blue": (70, 110, 255),
    "yellow": (245, 225, 50),
    "purple": (190, 80, 235),
    "cyan": (60, 220, 225),
    "pink": (255, 150, 190),
    "white": (245, 245, 245),
}
SIZES = {"small": 0.23, "big": 0.32}  # side of a digit as a share of the canvas
COLOUR_NAMES, SIZE_NAMES = tuple(COLOURS), tuple(SIZES)
RELATIONS = ("alone", "row", "column")


class Digit(NamedTuple):
    """A digit with its colour and size; a caption may leave the size out (None)."""

    digit: int
    colour: str
    size: str | None


class Scene(NamedTuple):
    """What a scene shows: digits from left to right or from top to bottom."""

    relation: str  # 'alone', 'row' or 'column'
    digits: tuple[Digit, ...]

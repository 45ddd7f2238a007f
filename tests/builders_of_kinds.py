"""Builders of three kinds in a table, as recipes and their settings meet them."""

from collections.abc import Sequence


def one(given, a: int, b: float | None = None, c: bool = False, d: str = "x"):
    """A builder of one kind; `given` is handed to it."""


def two(a: int = 3, b: str = "", e: tuple[float, float] = (0, 1), f=None):
    """Another kind, whose `b` is of another type."""


def three(g: str | Sequence[str] = (), h: Sequence[int] = ()):
    """A name or several, and what is always several."""


TABLE = {"one": one, "two": two, "three": three}

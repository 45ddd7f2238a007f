"""JSON files of any size, read entry by entry.

Annotations come as one JSON file of up to a gigabyte, which json.load turns into
several times as many bytes of Python objects. Here only a window is in memory.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlp_jax.core.errors import ConfigError

CHUNK = 2**20  # characters read at a time
LONGEST_ENTRY = (
    2**26
)  # characters; far above any, and stops the search in a broken file
SPACE = re.compile(r"[ \t\n\r]*")
DECODER = json.JSONDecoder()


class _Window:
    """The part of a file's text that is being looked at, from `at` on."""

    def __init__(self, file):
        self.file, self.text, self.at = file, "", 0

    def more(self) -> bool:
        """Reads on, as much again as is held; False at the end of the file."""
        held = self.text[self.at :]
        piece = self.file.read(max(CHUNK, len(held)))
        self.text, self.at = held + piece, 0
        return bool(piece)

    def peek(self) -> str:
        """The next character that is no space; '' at the end."""
        while True:
            self.at = SPACE.match(self.text, self.at).end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            where = repr(found) if found else "the end"
            raise ValueError(f"{where} instead of one of {' '.join(expected)}")
        self.at += 1
        return found

    def value(self) -> Any:
        self.peek()
        while True:
            error = None
            try:
                value, end = DECODER.raw_decode(self.text, self.at)
                # A number at the end of the window may go on.
                cut = end == len(self.text) or self.text[end] in ".eE+-"
            except ValueError as found:  # broken, or cut
                error, cut = found, True
            searched = len(self.text) - self.at
            if cut and searched <= LONGEST_ENTRY and self.more():
                continue
            if error:
                raise error
            self.at = min(end, len(self.text))
            return value

    def entries(self) -> Iterator[Any]:
        """The entries of a list, whose bracket comes next."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return


def _walk(window: _Window) -> Iterator[tuple[str, Any]]:
    if window.peek() == "[":
        yield from (("", entry) for entry in window.entries())
        return
    window.take("{")
    while window.peek() != "}":
        key = window.value()
        window.take(":")
        if window.peek() == "[":
            yield from ((key, entry) for entry in window.entries())
        else:
            window.value()
        if window.take(",}") == "}":
            return


def entries(path: Path) -> Iterator[tuple[str, Any]]:
    """(key, entry) of every list that the file's object holds, in the file's order.

    A file that is itself a list has the key ''. What is no list is passed over. Raises
    ConfigError where the file is not JSON or ends too early.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            yield from _walk(_Window(file))
    except (ValueError, RecursionError) as error:
        reason = str(error).partition(":")[0]
        problem = f"{path} is not JSON, or only a part of it ({reason})"
        raise ConfigError(f"{problem}; download it again") from error


@contextlib.contextmanager
def expected_form(path: Path, form: str):
    """ConfigError instead of the KeyError (or the like) of a file of another form."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        problem = f"{path}: an entry is not as expected ({what})"
        raise ConfigError(f"{problem}; expected {form}") from error

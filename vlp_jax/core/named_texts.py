"""Lists of short texts that a config gives: a set's name, a file, or the texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import suggestion

FEW = 8  # sets that an error names


def named_texts(
    given: str | Sequence[str], sets: Mapping[str, Sequence[str]], what: str
) -> tuple[str, ...]:
    """The set called `given`, the lines of the text file there, or `given` itself.

    `what` names the kind of text. Raises ConfigError for a name that is neither, a file
    that cannot be read or has an empty line, and what is no sequence of texts.
    """
    if isinstance(given, str):
        return tuple(sets[given]) if given in sets else _lines(given, sets, what)
    if not isinstance(given, Sequence) or not all(isinstance(t, str) for t in given):
        raise ConfigError(
            f"{what} is {given!r}; expected the name of a set, a text file with one a "
            "line, or a tuple of texts"
        )
    return tuple(given)


def _lines(path: str, sets: Mapping[str, Sequence[str]], what: str) -> tuple[str, ...]:
    place = Path(path).expanduser()
    if not place.is_file():
        more = f" and {len(sets) - FEW} more" if len(sets) > FEW else ""
        raise ConfigError(
            f"unknown {what} {path!r}, and no text file with one a line; known: "
            f"{', '.join(sorted(sets)[:FEW])}{more}{suggestion(path, sets)}"
        )
    try:
        text = place.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"{what}: {path!r} cannot be read ({error})"
        raise ConfigError(f"{problem}; save it as UTF-8 text") from error
    lines = tuple(line.strip() for line in text.rstrip().split("\n"))
    for number, line in enumerate(lines, 1):
        if not line:  # left out, it would move all that follow to another number
            raise ConfigError(f"{path}, line {number}: empty; expected one of {what}")
    return lines

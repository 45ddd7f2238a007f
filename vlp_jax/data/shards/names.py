"""The files that a user means by 'data/{00000..00331}.tar'."""

import glob
import itertools
import os
import re
from collections.abc import Sequence

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.logs import shortened

SHOWN = 60  # characters of a pattern in an error
MAX_NAMES, MAX_BRACES, MAX_DIGITS = 1_000_000, 100, 18
RANGE = re.compile(r"([0-9]+)\.\.([0-9]+)")
REMOTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")


def is_remote(name: str) -> bool:
    """Whether a name is for fsspec (s3://..., gs://..., https://...)."""
    return REMOTE.match(name) is not None


def find_shards(urls: str | Sequence[str], ending: str) -> tuple[str, ...]:
    """The files that `urls` names, in that order; what a pattern finds is sorted.

    Args:
      urls: one or several of: a file, a folder (all its files with the ending),
        braces ('{00000..00331}.tar', '{a,b}.tar'), a pattern ('*.tar'); below this
        machine's folders or as s3://, gs://, https://. One string may hold several,
        separated by blanks or '::'.
      ending: such as '.tar'; what a folder or a pattern finds must have it.

    Raises ConfigError for a pattern without a match, a name given twice, or `pipe:`.
    """
    if isinstance(urls, str):
        urls = [urls] if os.path.exists(urls) else re.split(r"\s+|::", urls.strip())
    if not isinstance(urls, Sequence) or not all(isinstance(u, str) for u in urls):
        raise ConfigError(f"urls is {urls!r}; expected names of files, or one pattern")
    found: dict[str, str] = {}
    for url in filter(None, urls):
        for name in _names(url, ending):
            place = name if is_remote(name) else os.path.abspath(name)
            if place in found:
                raise ConfigError(
                    f"{name} is named twice in urls; each shard counts once (weights "
                    "belong to a mixture)"
                )
            found[place] = name
    if not found:
        raise ConfigError(
            f"urls is empty; give for example DIR/{{00000..00331}}{ending}"
        )
    return tuple(found.values())


def _names(url: str, ending: str) -> list[str]:
    if url.startswith("pipe:"):
        raise ConfigError(
            f"{url!r} would run a command; give paths or URLs of the shards themselves"
        )
    if is_remote(url):
        try:
            return [name for part in braces(url) for name in _remote(part, ending)]
        except ConfigError:
            raise
        except Exception as error:  # whatever a driver makes of its network
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ConfigError(f"{url!r} cannot be listed ({said})") from error
    url = os.path.expanduser(url.removeprefix("file:"))
    if os.path.exists(url):
        return _local(url, ending)
    return [name for part in braces(url) for name in _local(part, ending)]


def _local(name: str, ending: str) -> list[str]:
    if os.path.isdir(name):
        inside = sorted(n for n in os.listdir(name) if not n.startswith("."))
        matches = [os.path.join(name, n) for n in inside if has_ending(n, ending)]
        return matches or _nothing(name, ending)
    if glob.has_magic(name) and not os.path.exists(name):
        matches = sorted(
            n for n in glob.glob(name, recursive=True) if os.path.isfile(n)
        )
        return matches or _nothing(name, ending)
    if not os.path.exists(name) and not has_ending(name, ending):
        raise ConfigError(
            f"urls: there is no file or folder {name!r} (looked from {os.getcwd()}); "
            "fetch the data first, or correct urls"
        )
    return [name]


def _remote(name: str, ending: str) -> list[str]:
    from vlp_jax.data.shards.files import file_system

    system = file_system(name)
    if glob.has_magic(name):
        matches = sorted(system.glob(name))
    elif has_ending(name.split("?")[0], ending) or name.startswith("http"):
        return [name]
    else:
        matches = sorted(n for n in system.ls(name, detail=False))
        matches = [n for n in matches if has_ending(n, ending)]
    return [system.unstrip_protocol(n) for n in matches] or _nothing(name, ending)


def common_folder(names: Sequence[str]) -> tuple[str, list[str]]:
    """(the folder that holds all of them, their paths within it)."""
    full = [n.split("?")[0] if is_remote(n) else os.path.abspath(n) for n in names]
    folders = [name.split("/")[:-1] for name in full]
    folder = "/".join(os.path.commonprefix(folders))
    return folder, [name[len(folder) + 1 :] for name in full]


def has_ending(name: str, ending: str) -> bool:
    """Whether the last part of a name has it ('a.array_record-00000-of-00001' too)."""
    last = name.rsplit("/", 1)[-1]
    return last.endswith(ending) or f"{ending}-" in last


def _nothing(name: str, ending: str) -> list[str]:
    raise ConfigError(
        f"urls: {name!r} finds no {ending} file; it is looked for from {os.getcwd()}"
        if not is_remote(name)
        else f"urls: {name!r} finds no {ending} file"
    )


def braces(text: str) -> list[str]:
    """'{a,b}{01..03}' -> the six words, as a shell expands them."""
    if text.count("{") > MAX_BRACES:
        raise ConfigError(
            f"urls: {shortened(text, SHOWN)!r} has {text.count('{'):,} braces; "
            f"expected at most {MAX_BRACES}"
        )
    start, end = _outer(text)
    if start < 0:
        return [text]
    before, inside, after = text[:start], text[start + 1 : end], text[end + 1 :]
    numbers = RANGE.fullmatch(inside)
    if numbers:
        choices = _range(*numbers.groups())
    else:
        parts = _split(inside)
        if len(parts) == 1:  # '{x}' stands for itself
            choices = ["{" + word + "}" for word in braces(inside)]
        else:
            words = (word for part in parts for word in braces(part))
            choices = list(itertools.islice(words, MAX_NAMES + 1))
    rests = braces(after)
    if len(choices) * len(rests) > MAX_NAMES:
        raise ConfigError(
            f"urls: {shortened(text, SHOWN)!r} names more than {MAX_NAMES:,} files"
        )
    pairs = itertools.product(choices, rests)
    return [before + choice + rest for choice, rest in pairs]


def _range(first: str, last: str) -> list[str]:
    """Both ends included, padded with zeros to the longer of two padded numbers."""
    if max(len(first), len(last)) > MAX_DIGITS:
        raise ConfigError(
            f"urls: '{shortened(first, SHOWN)}..' in braces has a number of more than "
            f"{MAX_DIGITS} digits"
        )
    low, high = int(first), int(last)
    if abs(high - low) >= MAX_NAMES:
        raise ConfigError(f"urls: {{{first}..{last}}} names {abs(high - low):,} files")
    padded = any(n.startswith("0") and len(n) > 1 for n in (first, last))
    width = max(len(first), len(last)) if padded else 0
    step = 1 if low <= high else -1
    return [f"{n:0{width}d}" for n in range(low, high + step, step)]


def _outer(text: str) -> tuple[int, int]:
    """Where the first pair of braces begins and ends; (-1, -1) without one."""
    depth, start = 0, -1
    for at, letter in enumerate(text):
        if letter == "{":
            start = at if depth == 0 else start
            depth += 1
        elif letter == "}" and depth:
            depth -= 1
            if depth == 0:
                return start, at
    if depth:
        raise ConfigError(
            f"urls: {shortened(text, SHOWN)!r} opens a brace that it does not close"
        )
    return -1, -1


def _split(text: str) -> list[str]:
    """At the commas that stand in no inner braces."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts

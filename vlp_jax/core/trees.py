"""Nested parameter trees addressed by path ('image/encoder/block_0/norm_1/scale')."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import suggestion


def path_name(path: tuple) -> str:
    """A jax key path as names joined by '/'."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def map_with_path(function: Callable[..., Any], tree, *rest):
    """`function(path, leaf, ...)` over the leaves of `tree`."""
    return jax.tree_util.tree_map_with_path(
        lambda path, *leaves: function(path_name(path), *leaves), tree, *rest
    )


def flatten(tree) -> dict[str, Any]:
    """{path: leaf} in the tree's own order."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_name(path): leaf for path, leaf in leaves}


def unflatten(leaves: Mapping[str, Any]) -> dict:
    """The nested dicts of {path: leaf}."""
    tree: dict = {}
    for path, leaf in leaves.items():
        *parents, name = path.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = leaf
    return tree


def split(tree: dict, chosen: Callable[[str], bool]) -> tuple[dict, dict]:
    """Nested dicts as two: the leaves whose path is chosen, and the others.

    Neither part holds anything in place of what the other has.
    """
    leaves = flatten(tree)
    return (
        unflatten({path: leaf for path, leaf in leaves.items() if chosen(path)}),
        unflatten({path: leaf for path, leaf in leaves.items() if not chosen(path)}),
    )


def merge(one: dict, other: dict) -> dict:
    """The inverse of `split`."""
    return unflatten(flatten(one) | flatten(other)) if other else one


def union(collections: Mapping[str, dict]) -> dict:
    """The collections of a model (parameters, statistics) as one tree.

    No path may be in two of them.
    """
    first, *others = collections.values()
    for other in others:
        first = merge(first, other)
    return first


def apart(tree: dict, like: Mapping[str, dict]) -> dict[str, dict]:
    """The inverse of `union`: every leaf in the collection of `like` with its path."""
    leaves = flatten(tree)
    return {
        name: unflatten({path: leaves[path] for path in flatten(c) if path in leaves})
        for name, c in like.items()
    }


def matching(patterns: Sequence[str], paths: Iterable[str], what: str) -> set[str]:
    """The paths in which one of the regular expressions is found.

    ConfigError, with the nearest path, for a pattern that is found in none; `what` is
    the setting that the patterns come from.
    """
    paths, found = list(paths), set()
    for pattern in compiled(patterns, what):
        here = {path for path in paths if pattern.search(path)}
        if not here:
            # 'txt/' is nearer to 'text' than to any path that begins with it.
            names = [path.split("/") for path in paths]
            known = ["/".join(n[:i]) for n in names for i in range(1, len(n) + 1)]
            raise ConfigError(
                f"{what}: {pattern.pattern!r} is found in no parameter path; they "
                f"begin with {', '.join(top_names(paths))}"
                f"{suggestion(pattern.pattern.strip('^$/'), known)}"
            )
        found |= here
    return found


def compiled(patterns: Sequence[str], what: str) -> list[re.Pattern]:
    """Regular expressions, or a ConfigError that names the setting `what`."""
    try:
        return [re.compile(pattern) for pattern in patterns]
    except (re.error, TypeError) as error:
        raise ConfigError(
            f"{what} is {patterns!r}; expected regular expressions in Python's "
            f"notation, as ('^image', '^text') ({error})"
        ) from None


def top_names(paths: Iterable[str]) -> list[str]:
    """What the paths begin with: 'image', 'text', ..."""
    return sorted({path.split("/")[0] for path in paths})


def count(tree) -> int:
    """Number of scalars in the arrays of `tree`."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def digest(tree) -> str:
    """Twenty hexadecimal digits (BLAKE2b), others for other paths, types or values."""
    found = hashlib.blake2b(digest_size=10)
    for path, leaf in sorted(flatten(tree).items()):
        array = np.ascontiguousarray(leaf)
        found.update(f"{path} {array.dtype} {array.shape}".encode())
        found.update(array.reshape(-1).view(np.uint8))
    return found.hexdigest()


def check_same(expected, given, what: str, advice: str = "", shown: int = 3) -> None:
    """ConfigError unless both trees have the same paths, shapes and dtypes.

    The message lists the paths that are missing, unexpected, or of the wrong shape or
    dtype, each kind by itself.
    """
    expected, given = flatten(expected), flatten(given)
    both = [p for p in expected if p in given]
    problems = {
        "missing": [p for p in expected if p not in given],
        "unexpected": [p for p in given if p not in expected],
        "wrong shape": [
            f"{p} (expected {list(expected[p].shape)}, got {list(given[p].shape)})"
            for p in both
            if tuple(expected[p].shape) != tuple(given[p].shape)
        ],
        "wrong dtype": [
            f"{p} (expected {expected[p].dtype}, got {given[p].dtype})"
            for p in both
            if expected[p].dtype != given[p].dtype
        ],
    }
    said = listed(problems, shown)
    if said:
        raise ConfigError(f"{what} does not fit: {said}{advice}")


def listed(problems: Mapping[str, Sequence[str]], shown: int = 3) -> str:
    """'1 missing: a; 4 unexpected: b, c, d, ...'; kinds without paths are left out."""
    return "; ".join(
        f"{len(paths)} {kind}: {', '.join(paths[:shown])}"
        + (", ..." if len(paths) > shown else "")
        for kind, paths in problems.items()
        if paths
    )

"""Nested parameter trees addressed by path ('image/encoder/block_0/norm_1/scale')."""

from collections.abc import Callable
from typing import Any

import jax

from vlp_jax.core.errors import ConfigError


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


def count(tree) -> int:
    """Number of scalars in the arrays of `tree`."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


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
    said = [
        f"{len(paths)} {kind}: {', '.join(paths[:shown])}"
        + (", ..." if len(paths) > shown else "")
        for kind, paths in problems.items()
        if paths
    ]
    if said:
        raise ConfigError(f"{what} does not fit: {'; '.join(said)}{advice}")

"""Initial values from another checkpoint: matched by path, positions resized."""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Float

from vlp_jax.checkpoint.steps import find_checkpoint
from vlp_jax.checkpoint.storage import (
    WEIGHTS,
    restore_parameters,
    saved_parameters,
)
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import PyTree
from vlp_jax.parallel.sharding import REPLICATED

Init = Callable[[jax.Array], dict[str, PyTree]]


def _grid(positions: int) -> tuple[int, int]:
    """(class tokens, side of the square grid) of so many positions; side 0: none."""
    for tokens in (0, 1):
        side = math.isqrt(positions - tokens)
        if side**2 == positions - tokens:
            return tokens, side
    return 0, 0


def resize_grid(
    saved: Float[Array, "old width"], fresh: Float[Array, "new width"]
) -> Float[Array, "new width"]:
    """Image positions for another number of patches, for example 224 -> 336 pixels.

    Bicubic and antialiased over the square grid, in float32, as open_clip does it; the
    position of the class token, which comes first where there is one, is kept.
    """
    (tokens, side), (_, new_side) = _grid(len(saved)), _grid(len(fresh))
    kept, grid = jnp.split(saved.astype(jnp.float32), [tokens])
    grid = jax.image.resize(
        grid.reshape(side, side, -1),
        (new_side, new_side, grid.shape[-1]),
        method="cubic",
    )
    grid = grid.reshape(new_side**2, -1)
    return jnp.concatenate([kept, grid]).astype(fresh.dtype)


def cut_or_extend(
    saved: Float[Array, "old width"], fresh: Float[Array, "new width"]
) -> Float[Array, "new width"]:
    """Text positions for another length: the first ones are taken as they are.

    A text that fits both lengths is encoded as before by a causal tower; positions
    beyond the old length keep their fresh values. (open_clip stretches all of them
    instead, so that every text is encoded in another way than it was trained.) A tower
    that reads its last position (SigLIP's) has to learn that one anew.
    """
    return fresh.at[: len(saved)].set(saved[: len(fresh)].astype(fresh.dtype))


def _grids_fit(saved: int, fresh: int) -> bool:
    (tokens, side), (new_tokens, new_side) = _grid(saved), _grid(fresh)
    return tokens == new_tokens and side > 0 and new_side > 0


# Paths whose first axis may differ: (whether it can be resized, how).
RESIZED = {
    r"(^|/)image/position_embedding$": (_grids_fit, resize_grid),
    r"(^|/)(text|decoder)/position_embedding$": (
        lambda saved, fresh: True,
        cut_or_extend,
    ),
}


def resizer(path: str, saved: tuple, fresh: tuple) -> Callable | None:
    """How an array of the saved shape becomes one of the other; None: it cannot."""
    for pattern, (fits, resize) in RESIZED.items():
        if re.search(pattern, path) and saved[1:] == fresh[1:]:
            return resize if fits(saved[0], fresh[0]) else None
    return None


@dataclasses.dataclass(frozen=True)
class Match:
    """How the parameters of a checkpoint fit a run: paths, in lists.

    loaded and resized are used. missing are those of the run that the checkpoint
    lacks, unexpected those of the checkpoint that the run lacks, wrong_shape those
    that both have and that cannot be resized.
    """

    loaded: list[str]
    resized: dict[str, str]  # path -> '[50, 768] -> [145, 768]'
    missing: list[str]
    unexpected: list[str]
    wrong_shape: list[str]

    @property
    def used(self) -> list[str]:
        return [*self.loaded, *self.resized]

    def unused(self) -> dict[str, list[str]]:
        """What was asked for and is not there, by kind."""
        return {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "wrong shape": self.wrong_shape,
        }


def match(
    run: Mapping[str, jax.ShapeDtypeStruct],
    saved: Mapping[str, jax.ShapeDtypeStruct],
    parts: tuple[str, ...] | None = None,
) -> Match:
    """Compares {path: shape} of a run and of a checkpoint, in the parts asked for."""
    asked = run.keys() | saved.keys()
    if parts is not None:
        asked = trees.matching(parts, sorted(asked), "initialise.parts")
    found = Match([], {}, [], [], [])
    for path in (path for path in run if path in asked):
        if path not in saved:
            found.missing.append(path)
            continue
        old, new = tuple(saved[path].shape), tuple(run[path].shape)
        if old == new:
            found.loaded.append(path)
        elif resizer(path, old, new):
            found.resized[path] = f"{list(old)} -> {list(new)}"
        else:
            shapes = f"expected {list(new)}, got {list(old)}"
            found.wrong_shape.append(f"{path} ({shapes})")
    found.unexpected.extend(p for p in saved if p in asked and p not in run)
    return found


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """The checkpoint that a fresh run starts from.

    Args:
      checkpoint: workdir (its newest step) or step folder; of the config, also an
        endpoint of port, such as hf:DIR.
      weights: 'model', or 'ema' for the moving average where one was kept.
      parts: patterns of parameter paths, such as ('^image',) for the image tower with
        its projection; None: all that the run has.
    """

    checkpoint: str
    weights: str = "model"
    parts: tuple[str, ...] | None = None

    def __post_init__(self):
        lookup(WEIGHTS, self.weights, "initialise.weights")
        trees.compiled(self.parts or (), "initialise.parts")

    @functools.cached_property
    def folder(self) -> Path:
        return find_checkpoint(self.checkpoint)

    @functools.cached_property
    def saved(self) -> dict[str, jax.ShapeDtypeStruct]:
        """{path: shape and dtype} of the checkpoint's parameters and statistics."""
        return saved_parameters(self.folder, self.weights)

    def asks(self, name: str) -> bool:
        """Whether a parameter of this path is wanted."""
        return self.parts is None or any(re.search(p, name) for p in self.parts)

    def brings(self, name: str) -> bool:
        """Whether a parameter of this path is asked for and in the checkpoint."""
        return self.asks(name) and name in self.saved

    def restored(self, like: dict[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
        """The arrays of these paths, in the places given."""
        return restore_parameters(self.folder, self.weights, like)

    def read(self, run: PyTree) -> tuple[dict[str, jax.Array], Match]:
        """{path: array} in the checkpoint's shapes, and how they fit the run.

        run: placed shapes of the run's variables, as one tree. Each array is read into
        its shards on the run's devices; those to be resized (positions: small) are
        copied to all.
        ConfigError, with each list by itself, for a wrong shape or when nothing fits.
        """
        run = trees.flatten(run)
        found = match(run, self.saved, self.parts)
        if found.wrong_shape or not found.used:
            raise ConfigError(
                f"checkpoint {self.folder} does not fit: {trees.listed(found.unused())}"
                ". Use the model settings it was trained with, or name what to take: "
                "--config.initialise.parts=\"('^image',)\""
            )
        like = {path: run[path] for path in found.loaded}
        for path in found.resized:
            everywhere = NamedSharding(run[path].sharding.mesh, REPLICATED)
            like[path] = jax.ShapeDtypeStruct(
                self.saved[path].shape, run[path].dtype, sharding=everywhere
            )
        return self.restored(like), found


@dataclasses.dataclass(frozen=True)
class GivenWeights(InitialWeights):
    """Arrays in memory that a fresh run starts from, such as a foreign model's.

    arrays: {path: array}, of which each process has all.
    """

    arrays: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def folder(self) -> str:
        """What stands for them in messages."""
        return self.checkpoint

    @functools.cached_property
    def saved(self) -> dict[str, jax.ShapeDtypeStruct]:
        return {
            path: jax.ShapeDtypeStruct(x.shape, x.dtype)
            for path, x in self.arrays.items()
        }

    def restored(self, like: dict[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
        def place(path: str, shape: jax.ShapeDtypeStruct) -> jax.Array:
            array = np.asarray(self.arrays[path], shape.dtype)
            return jax.make_array_from_callback(
                array.shape, shape.sharding, lambda index: array[index]
            )

        return {path: place(path, shape) for path, shape in like.items()}


def with_values(init: Init, values: Mapping[str, jax.Array]) -> Init:
    """`init` with the variables at some paths replaced, resized where they differ."""

    def replaced(path, fresh):
        value = values.get(path, fresh)
        if value.shape == fresh.shape:
            return value
        return resizer(path, value.shape, fresh.shape)(value, fresh)

    def init_with_values(key):
        return {
            name: trees.map_with_path(replaced, collection)
            for name, collection in init(key).items()
        }

    return init_with_values

"""Weights under other names: one table for each family, read in both directions.

A Rule pairs parameters of ours with one key of theirs and says how the arrays differ.
Everything is strict: a parameter or a key that no rule mentions is an error.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Change:
    """How arrays of ours become one of theirs, and how that becomes ours again.

    to_theirs: None in the table of a format that is only read.
    """

    to_theirs: Callable[..., np.ndarray] | None
    to_ours: Callable[[np.ndarray], tuple[np.ndarray, ...]]


def _one(to_theirs: Callable, to_ours: Callable) -> Change:
    return Change(to_theirs, lambda x: (to_ours(x),))


def _kernel_to_convolution(x: np.ndarray) -> np.ndarray:
    """[p q c, out] -> [out, c, p, q] of square patches of RGB."""
    side = math.isqrt(len(x) // 3)
    return x.reshape(side, side, 3, -1).transpose(3, 2, 0, 1)


SAME = _one(lambda x: x, lambda x: x)
TRANSPOSED = _one(np.transpose, np.transpose)  # torch's linear weights are (out, in)
PATCHES = _one(
    _kernel_to_convolution,
    lambda x: x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0]),
)
# Convolutions: ours are [height, width, in, out], torch's [out, in, height, width].
CONVOLUTION = _one(lambda x: x.transpose(3, 2, 0, 1), lambda x: x.transpose(2, 3, 1, 0))
SCALAR_1D = _one(lambda x: x.reshape(1), lambda x: x.reshape(()))
LEADING_1 = _one(lambda x: x[None], lambda x: x.reshape(x.shape[1:]))
LEADING_1_1 = _one(lambda x: x[None, None], lambda x: x.reshape(x.shape[2:]))


def stacked(parts: int) -> Change:
    """Arrays of ours, one above the other in theirs."""
    return Change(lambda *x: np.concatenate(x), lambda x: tuple(np.split(x, parts)))


def stacked_kernels(parts: int) -> Change:
    """The same of kernels, which torch keeps transposed."""
    return Change(
        lambda *x: np.concatenate([kernel.T for kernel in x]),
        lambda x: tuple(part.T for part in np.split(x, parts)),
    )


def beside(parts: int) -> Change:
    """Arrays of ours, one beside the other in theirs."""
    return Change(
        lambda *x: np.concatenate(x, axis=-1),
        lambda x: tuple(np.split(x, parts, axis=-1)),
    )


@dataclasses.dataclass(frozen=True)
class Rule:
    """Parameters of ours and the key of theirs that holds the same numbers.

    Without `ours` it is a constant of theirs: written so, and not read.
    """

    ours: tuple[str, ...]
    theirs: str
    change: Change = SAME
    constant: np.ndarray | None = None


def rule(ours: str, theirs: str, change: Change = SAME) -> list[Rule]:
    return [Rule((ours,), theirs, change)]


def linear(ours: str, theirs: str, use_bias: bool = True) -> list[Rule]:
    """A linear map of torch."""
    found = rule(f"{ours}/kernel", f"{theirs}.weight", TRANSPOSED)
    return found + (rule(f"{ours}/bias", f"{theirs}.bias") if use_bias else [])


def norm(ours: str, theirs: str) -> list[Rule]:
    """Gain and bias of a normalisation of torch."""
    return [
        *rule(f"{ours}/scale", f"{theirs}.weight"),
        *rule(f"{ours}/bias", f"{theirs}.bias"),
    ]


def conv_norm(ours: str, convolution: str, normalisation: str) -> list[Rule]:
    """A convolution of torch and the batch normalisation after it.

    How many batches that has seen is no weight: nothing computes with it.
    """
    seen = np.zeros((), np.int64)
    return [
        *rule(f"{ours}/kernel", f"{convolution}.weight", CONVOLUTION),
        *norm(f"{ours}/norm", normalisation),
        *rule(f"{ours}/norm/mean", f"{normalisation}.running_mean"),
        *rule(f"{ours}/norm/variance", f"{normalisation}.running_var"),
        Rule((), f"{normalisation}.num_batches_tracked", constant=seen),
    ]


def stack_linear(ours: str, names: Sequence[str], theirs: str) -> list[Rule]:
    """Linear maps of ours by name, which are one of theirs: `theirs` ends in . or _"""
    kernels, biases = (
        tuple(f"{ours}/{name}/{what}" for name in names) for what in ("kernel", "bias")
    )
    return [
        Rule(kernels, f"{theirs}weight", stacked_kernels(len(names))),
        Rule(biases, f"{theirs}bias", stacked(len(names))),
    ]


def stacked_attention(ours: str, theirs: str) -> list[Rule]:
    """torch.nn.MultiheadAttention, which has query, key and value in one."""
    return [
        *stack_linear(ours, ("query", "key", "value"), f"{theirs}.in_proj_"),
        *linear(f"{ours}/out", f"{theirs}.out_proj"),
    ]


def to_theirs(rules: Sequence[Rule], ours: Mapping[str, np.ndarray]) -> Arrays:
    """{their key: array} of {our path: array}.

    ConfigError that lists what is missing or left over.
    """
    _check(ours, [path for rule in rules for path in rule.ours], "parameters")
    return {
        rule.theirs: np.asarray(
            rule.change.to_theirs(*(ours[path] for path in rule.ours))
            if rule.ours
            else rule.constant,
            order="C",
        )
        for rule in rules
    }


def to_ours(
    rules: Sequence[Rule],
    theirs: Mapping[str, np.ndarray],
    ignored: Iterable[str] = (),
) -> Arrays:
    """{our path: array} of {their key: array}.

    ignored: patterns of keys that hold no weights (buffers that old files carry).
    ConfigError that lists what is missing or left over, or names what has an impossible
    shape, holds whole numbers or is not finite.
    """
    patterns = [re.compile(pattern) for pattern in ignored]
    left = {k for k in theirs if not any(p.search(k) for p in patterns)}
    _check(left, [rule.theirs for rule in rules], "keys")
    found: Arrays = {}
    for rule in rules:
        if not rule.ours:
            continue
        array = theirs[rule.theirs]
        _check_numbers(rule.theirs, array)
        try:
            arrays = rule.change.to_ours(array)
        except (ValueError, IndexError):
            shape = list(array.shape)
            raise ConfigError(
                f"{rule.theirs} has the shape {shape}, which cannot be "
                f"{' and '.join(rule.ours)}; the file belongs to another model"
            ) from None
        found |= zip(rule.ours, (np.asarray(x, order="C") for x in arrays), strict=True)
    return found


def check_shapes(found: Mapping[str, np.ndarray], expected: Mapping) -> None:
    """ConfigError that lists the parameters whose shape is not the model's."""
    wrong = [
        f"{path} (expected {list(expected[path].shape)}, got {list(found[path].shape)})"
        for path in sorted(found.keys() & expected.keys())
        if tuple(expected[path].shape) != tuple(found[path].shape)
    ]
    missing = sorted(expected.keys() - found.keys())
    unexpected = sorted(found.keys() - expected.keys())
    if wrong or missing or unexpected:
        lists = {"missing": missing, "unexpected": unexpected, "wrong shape": wrong}
        raise ConfigError(
            f"the weights do not fit the model that their config describes: "
            f"{trees.listed(lists)}"
        )


def _check_numbers(key: str, array: np.ndarray) -> None:
    if array.dtype.kind != "f":
        raise ConfigError(
            f"{key} holds {array.dtype}; expected float32 or half precision. Export "
            "the weights before they are quantised"
        )
    if not np.isfinite(array).all():
        raise ConfigError(
            f"{key} holds numbers that are not finite (NaN or infinity); fetch the "
            "file again, or take an earlier checkpoint of that training"
        )


def _check(given: Iterable[str], known: Iterable[str], what: str) -> None:
    given, known = set(given), set(known)
    if given != known:
        lists = {"missing": sorted(known - given), "unexpected": sorted(given - known)}
        raise ConfigError(
            f"the {what} are not those of this model: {trees.listed(lists)}; nothing "
            "was converted"
        )

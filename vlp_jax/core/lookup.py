"""Table lookup whose errors name what is known and what was probably meant."""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from vlp_jax.core.errors import ConfigError

T = TypeVar("T")
PLAIN = (bool, int, float, str)  # what the command line can give


def suggestion(name: str, known: Iterable[str]) -> str:
    """'; did you mean ...?' when a known name is close to `name`, else ''."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """The entry of `table` called `name`; `what` names the kind of thing."""
    if name in table:
        return table[name]
    known = ", ".join(sorted(map(str, table)))
    raise ConfigError(
        f"unknown {what} {name!r}; known: {known}{suggestion(name, table)}"
    )


def parameters_of(builder: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keywords of a builder (function, dataclass or linen module) by name."""
    parameters = inspect.signature(builder).parameters
    hidden = ("parent", "name")  # every linen module has these
    is_module = "parent" in parameters
    return {k: p for k, p in parameters.items() if not (is_module and k in hidden)}


def call(
    builder: Callable[..., T], keywords: Mapping[str, Any], what: str, **given
) -> T:
    """Calls `builder` with the keywords that are set (None means: not given).

    `given` are objects that the builder may ask for by name (a mesh, a tokenizer).
    A keyword that is set but that the builder lacks is a ConfigError, and so is a
    required one that is missing, or a number where its signature says text.
    """
    parameters = parameters_of(builder)
    set_keywords = {k: v for k, v in keywords.items() if v is not None}
    for key in set_keywords:
        if key not in parameters or key in given:
            known = [k for k in parameters if k not in given]
            raise ConfigError(
                f"{what} has no setting {key!r} (given: {set_keywords[key]!r}); it "
                f"knows: {', '.join(known)}{suggestion(key, known)}"
            )
    arguments = {k: v for k, v in given.items() if k in parameters} | set_keywords
    for key, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in arguments:
            raise ConfigError(f"{what} needs the setting {key!r}, which is not given")
    for key, value in set_keywords.items():
        _check_type(f"{what}: {key}", value, parameters[key].annotation)
    return builder(**arguments)


def _check_type(name: str, value: Any, annotation: Any) -> None:
    """ConfigError for a value of another plain type than a plain annotation names."""
    union = isinstance(annotation, types.UnionType)
    kinds = set(typing.get_args(annotation) if union else [annotation])
    kinds -= {types.NoneType}
    if not kinds or not kinds <= set(PLAIN) or type(value) in kinds:
        return
    if type(value) is int and float in kinds:
        return
    expected = " or ".join(sorted(kind.__name__ for kind in kinds))
    raise ConfigError(
        f"{name} is {value!r} ({type(value).__name__}); expected {expected}"
    )

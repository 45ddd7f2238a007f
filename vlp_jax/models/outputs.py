"""The graph of model outputs: what objectives can ask for, computed once each.

An output is a method of the model, and the names of its parameters say what it is
computed from: arrays of the batch, other outputs, or values that an objective derives
(masked tokens, negatives). There is no table to keep in step with the models.
"""

import dataclasses
import inspect
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
from flax import linen as nn

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup, suggestion
from vlp_jax.core.types import Batch, ComputeOutputs, Derived, Need, PyTree

KEY = "key"  # the parameter of a derived value that gets a random key


def method_of(model: nn.Module, name: str) -> Callable | None:
    """The method that computes an output; None where the model has none so called.

    A model may say which of its outputs it `lacks`, being set to have no head for them.
    """
    own = getattr(type(model), name, None)
    if not callable(own) or hasattr(nn.Module, name):
        return None
    return None if name in getattr(model, "lacks", ()) else own


def inputs_of(function: Callable) -> dict[str, bool]:
    """{name: whether it must be there} of what a method or a derived value takes."""
    parameters = inspect.signature(function).parameters
    return {
        name: parameter.default is inspect.Parameter.empty
        for name, parameter in parameters.items()
        if name not in ("self", KEY)
    }


def known_outputs(model: nn.Module) -> list[str]:
    """The methods of a model that are outputs, or could be."""
    names = (name for name in dir(type(model)) if not name.startswith("_"))
    return [name for name in names if method_of(model, name) and name != "setup"]


def check_outputs(
    model: nn.Module, derived: Derived, needs: Iterable[Need], given: Mapping
) -> None:
    """ConfigError for a need that the model cannot meet.

    given: {stream: names of its arrays}, and under '' the model's own parameters.
    """

    def check(name: str, need: Need, seen: tuple[str, ...]) -> None:
        streams = {k: v for k, v in given.items() if k}
        arrays = lookup(streams, need.stream, "stream of the run")
        if name in arrays or name in given[""]:
            return
        function = derived.get(name) or method_of(model, name)
        if function is None:
            known = known_outputs(model)
            of = f" for {seen[0]!r}" if seen else ""
            raise ConfigError(
                f"a {type(model).__name__} has no output {name!r}, which an objective "
                f"needs{of}; it has: {', '.join(known)}{suggestion(name, known)}"
            )
        for other, must in inputs_of(function).items():
            if must and other not in seen:
                check(other, need, (*seen, name))

    for need in needs:
        check(need.name, need, ())


class _Graph:
    """The values of one step, each computed when it is first asked for.

    All of them at the outer level of the trace: a value that was first made inside a
    loop or a rematerialised function could not leave it.
    """

    def __init__(self, model: nn.Module, derived: Derived, variables, batch, key):
        self.model, self.derived = model, derived
        self.variables, self.batch, self.key = dict(variables), batch, key
        self.values: dict[Need, Any] = {}

    def known(self, need: Need) -> bool:
        """Whether there is such a value."""
        arrays = lookup(self.batch, need.stream, "stream of the batch")
        return (
            need.name in arrays
            or need.name in self.derived
            or method_of(self.model, need.name) is not None
            or need.name in self.variables[need.parameters]["params"]
        )

    def value(self, need: Need) -> Any:
        arrays = lookup(self.batch, need.stream, "stream of the batch")
        if need.name in arrays:
            return arrays[need.name]
        if need.name in self.derived:  # once, whatever the parameters
            need = dataclasses.replace(need, parameters="live")
        if need not in self.values:
            self.values[need] = self._computed(need)
        return self.values[need]

    def _computed(self, need: Need) -> Any:
        if need.name in self.derived:
            function = self.derived[need.name]
            inputs = self._inputs(function, need)
            if KEY in inspect.signature(function).parameters:
                inputs[KEY] = self._key(need)
            return function(**inputs)
        method = method_of(self.model, need.name)
        variables = self.variables[need.parameters]
        if method is None:
            outputs = dict.fromkeys(known_outputs(self.model)) | variables["params"]
            return lookup(outputs, need.name, "model output")
        inputs = self._inputs(method, need)
        if need.parameters != "live":
            return self.model.apply(variables, method=method, **inputs)
        value, changed = self.model.apply(
            variables,
            method=method,
            mutable=[name for name in variables if name != "params"],
            rngs={"dropout": self._key(need)},
            **inputs,
        )
        self.variables["live"] = {**variables, **changed}
        return value

    def _inputs(self, function: Callable, need: Need) -> dict[str, Any]:
        wanted = {
            name: dataclasses.replace(need, name=name)
            for name, must in inputs_of(function).items()
            if must or self.known(dataclasses.replace(need, name=name))
        }
        return {name: self.value(other) for name, other in wanted.items()}

    def _key(self, need: Need) -> jax.Array:
        return jax.random.fold_in(self.key, zlib.crc32(repr(need).encode()))


def compute_outputs(model: nn.Module, derived: Derived = None) -> ComputeOutputs:
    """The function by which a train step turns needs into arrays.

    It takes variables by the name of their parameters ({'live': variables}), the
    needs, the batch and a key; it returns {need: array} and the live variables other
    than parameters (batch statistics). A name stands for the first of: an array of
    the batch, a derived value, a method of the model, a parameter of the model.

    Every value is computed once, with a key derived from its name, so that the order
    of objectives does not matter. Derived values are computed from live parameters.
    Only these train: others see no dropout and normalise by running statistics.
    """

    def compute(
        variables: Mapping[str, Mapping[str, PyTree]],
        needs: Iterable[Need],
        batch: Batch,
        key: jax.Array,
    ) -> tuple[dict[Need, jax.Array], dict[str, Any]]:
        graph = _Graph(model, derived or {}, variables, batch, key)
        outputs = {need: graph.value(need) for need in sorted(set(needs))}
        live = graph.variables["live"]
        return outputs, {name: v for name, v in live.items() if name != "params"}

    return compute


def inference(model: nn.Module, name: str) -> Callable[..., Any]:
    """The function (variables, **arrays) -> that output of a trained model."""
    need = Need(name, parameters="trained")

    def run(variables: dict[str, PyTree], **arrays: jax.Array) -> Any:
        batch = {need.stream: arrays}
        return _Graph(model, {}, {need.parameters: variables}, batch, None).value(need)

    return run

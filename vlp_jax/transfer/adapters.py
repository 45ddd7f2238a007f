"""Parameters that are learned beside those of a model, and merged into them.

The model never hears of adapters: it is applied with merged parameters, and what is
evaluated or exported is an ordinary model.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import jax

from vlp_jax.core.types import ComputeOutputs, PyTree

NAME = "adapters"  # of the parameters that are theirs


class Adapter(Protocol):
    """extend: parameters -> (parameters, the adapter's own under its name)
    begin: its own first values, once those of the model are known
    merge: both -> the parameters that the model is applied with"""

    def extend(self, params: PyTree, key: jax.Array) -> tuple[PyTree, PyTree]: ...

    def begin(self, params: PyTree, own: PyTree) -> PyTree: ...

    def merge(self, params: PyTree, own: PyTree) -> PyTree: ...


@dataclasses.dataclass(frozen=True)
class Adapters:
    """Those of a run: extended one after the other, and merged the last one first."""

    adapters: tuple[Adapter, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.adapters)

    def extended(self, init: Callable) -> Callable:
        """`init` of variables, with the parameters of the adapters beside."""
        if not self:
            return init

        def extended_init(key: jax.Array) -> dict[str, PyTree]:
            variables = dict(init(key))
            params, found = variables.pop("params"), {}
            for adapter in self.adapters:
                params, own = adapter.extend(params, key)
                found |= own
            beside = {NAME: found} if found else {}
            return {"params": {**params, **beside}, **variables}

        return extended_init

    def begun(self, init: Callable, given: Collection[str] = ()) -> Callable:
        """An extended `init`, after which the adapters have their first values.

        given: paths of parameters that have theirs from elsewhere.
        """
        if not self:
            return init

        def begun_init(key: jax.Array) -> dict[str, PyTree]:
            variables = dict(init(key))
            params = dict(variables.pop("params"))
            own = dict(params.pop(NAME, {}))
            for adapter in self.adapters:
                first = adapter.begin(params, own)
                own |= {k: x for k, x in first.items() if f"{NAME}/{k}" not in given}
            beside = {NAME: own} if own else {}
            return {"params": {**params, **beside}, **variables}

        return begun_init

    def merged(self, variables: Mapping[str, PyTree]) -> dict[str, PyTree]:
        """The variables that the model is applied with."""
        if not self:
            return dict(variables)
        params = dict(variables["params"])
        own = params.pop(NAME, {})
        for adapter in reversed(self.adapters):
            params = adapter.merge(params, own)
        return {**variables, "params": params}

    def computing(self, compute: ComputeOutputs) -> ComputeOutputs:
        """`compute` for variables that are not merged yet."""
        if not self:
            return compute

        def merge_and_compute(variables, needs, batch, key):
            merged = {name: self.merged(found) for name, found in variables.items()}
            return compute(merged, needs, batch, key)

        return merge_and_compute

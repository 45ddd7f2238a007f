"""Several objectives as one: the weighted sum of their losses."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need, Objective, Outputs, PyTree


@dataclasses.dataclass(frozen=True)
class Mixture:
    """sum over objectives of weight * total / count. Weight 0 leaves one out."""

    objectives: Mapping[str, Objective]
    weights: Mapping[str, float]

    @property
    def active(self) -> dict[str, Objective]:
        return {k: o for k, o in self.objectives.items() if self.weights[k] != 0}

    @property
    def needs(self) -> tuple[Need, ...]:
        return tuple(need for o in self.active.values() for need in o.needs)

    @property
    def derived(self) -> dict[str, Callable]:
        """What the objectives derive for the model; one name is one function."""
        found: dict[str, Callable] = {}
        for name, objective in self.active.items():
            own = getattr(objective, "derived", {})
            twice = sorted(found.keys() & own.keys())
            if twice:
                raise ConfigError(
                    f"objectives.{name} derives {', '.join(twice)}, and so does "
                    f"another objective; give one of them weight 0"
                )
            found |= own
        return found

    @property
    def needs_momentum(self) -> bool:
        """Whether outputs are wanted under a moving average of the parameters."""
        return any(need.parameters == "momentum" for need in self.needs)

    def describe(self, batch: int) -> dict[str, str]:
        """How each objective computes its loss, where it says so."""
        active = self.active.items()
        return {k: o.describe(batch) for k, o in active if hasattr(o, "describe")}

    def check(self, batch: int, samples: int) -> None:
        """ConfigError where an objective cannot work on such a run, and says so."""
        for objective in self.active.values():
            if hasattr(objective, "check"):
                objective.check(batch, samples)

    def initial_state(self) -> dict[str, PyTree]:
        return {name: o.initial_state() for name, o in self.active.items()}

    def __call__(
        self, outputs: Outputs, step: jax.Array, state: dict[str, PyTree]
    ) -> tuple[jax.Array, dict[str, jax.Array], dict[str, PyTree]]:
        """(loss, metrics named objective/metric, the objectives' new states)."""
        loss, metrics, new_state = jnp.zeros(()), {}, {}
        for name, objective in self.active.items():
            term = objective(outputs, step, state[name])
            value = term.total / jnp.maximum(term.count, 1)
            loss += self.weights[name] * value
            metrics |= {f"{name}/{k}": v for k, v in term.metrics.items()}
            metrics[f"{name}/loss"] = value
            new_state[name] = term.state
        return loss, metrics | {"loss": loss}, new_state

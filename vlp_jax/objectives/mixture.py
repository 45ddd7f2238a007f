"""Several objectives as one: the weighted sum of their losses, which may change."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.types import Need, Objective, Outputs, PyTree


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When an objective counts: the factor of its weight as a function of the step.

    0 before `start_step`, a line up to 1 over the `ramp_steps` after it, and 0 from
    `end_step` on (None: it stays 1).
    """

    start_step: int = 0
    ramp_steps: int = 0
    end_step: int | None = None

    def __post_init__(self):
        check_range("start_step", self.start_step, 0)
        check_range("ramp_steps", self.ramp_steps, 0)
        check_range("end_step", self.end_step, self.start_step + 1)

    def __call__(self, step: jax.Array) -> jax.Array | float:
        if self == Schedule():
            return 1.0
        since = step - self.start_step
        risen = jnp.clip(since / self.ramp_steps, 0, 1) if self.ramp_steps else 1.0
        counts = since >= 0
        if self.end_step is not None:
            counts &= step < self.end_step
        return jnp.where(counts, risen, 0.0)


@dataclasses.dataclass(frozen=True)
class Mixture:
    """sum over objectives of weight * total / count. Weight 0 leaves one out.

    schedules: of the weights that change. While one of these is 0 its objective adds
    nothing, though it is computed, so that its state and metrics go on.
    """

    objectives: Mapping[str, Objective]
    weights: Mapping[str, float]
    schedules: Mapping[str, Schedule] = dataclasses.field(default_factory=dict)

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

    @property
    def streams(self) -> dict[str, list[str]]:
        """What each objective learns from, the stream of its first need first."""
        return {
            name: list(dict.fromkeys(need.stream for need in o.needs))
            for name, o in self.active.items()
        }

    def describe(self, batch: Mapping[str, int]) -> dict[str, str]:
        """How each objective computes its loss, where it says so.

        batch: rows of a batch by stream.
        """
        return {
            name: o.describe(batch[self.streams[name][0]])
            for name, o in self.active.items()
            if hasattr(o, "describe")
        }

    def check(self, batch: Mapping[str, int], samples: Mapping[str, int]) -> None:
        """ConfigError where an objective cannot work on such a run, and says so.

        batch: rows of a batch by stream; samples: those of the run's data.
        """
        for name, objective in self.active.items():
            if hasattr(objective, "check"):
                stream = self.streams[name][0]
                objective.check(batch[stream], samples[stream])

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
            weight = self.weights[name]
            metrics |= {f"{name}/{k}": v for k, v in term.metrics.items()}
            if name in self.schedules:
                weight *= self.schedules[name](step)
                metrics[f"{name}/weight"] = jnp.asarray(weight, jnp.float32)
            loss += weight * value
            metrics[f"{name}/loss"] = value
            new_state[name] = term.state
        return loss, metrics | {"loss": loss}, new_state

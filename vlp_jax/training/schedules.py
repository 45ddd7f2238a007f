"""Learning rates as functions of the step."""

import optax

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup


def _cosine(peak: float, steps: int, final: float) -> optax.Schedule:
    return optax.cosine_decay_schedule(peak, max(steps, 1), final)


def _constant(peak: float, steps: int, final: float) -> optax.Schedule:
    return optax.constant_schedule(peak)


DECAYS = {"cosine": _cosine, "constant": _constant}


def learning_rate(
    total_steps: int,
    peak: float,
    warmup_steps: int = 0,
    decay: str = "cosine",
    final_fraction: float = 0.0,
) -> optax.Schedule:
    """Linear warm-up from 0 to `peak`, then a decay to peak * final_fraction."""
    if not 0 <= warmup_steps <= total_steps:
        raise ConfigError(
            f"warmup_steps is {warmup_steps}; it must lie between 0 and the run's "
            f"{total_steps} steps"
        )
    make = lookup(DECAYS, decay, "learning rate decay")
    after = make(peak, total_steps - warmup_steps, final_fraction)
    warmup = optax.linear_schedule(0.0, peak, max(warmup_steps, 1))
    return optax.join_schedules([warmup, after], [warmup_steps])

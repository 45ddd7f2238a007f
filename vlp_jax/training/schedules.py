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
    cooldown_steps: int = 0,
) -> optax.Schedule:
    """Linear warm-up from 0 to `peak`, then a decay to peak * final_fraction.

    Args:
      decay: 'cosine', or 'constant': a plateau, which `cooldown_steps` end with a line
        to the final rate (Zhai et al. 2022, arXiv:2106.04560, section 3.5).
    """
    if cooldown_steps and decay == "cosine":
        raise ConfigError(
            f"cooldown_steps is {cooldown_steps}, but a cosine needs no cooldown; set "
            "learning_rate.decay to 'constant' or leave cooldown_steps out"
        )
    if final_fraction and decay == "constant" and not cooldown_steps:
        raise ConfigError(
            f"final_fraction is {final_fraction}, but a constant rate has no end to go "
            "to; set learning_rate.cooldown_steps or leave final_fraction out"
        )
    for name, steps in (("warmup", warmup_steps), ("cooldown", cooldown_steps)):
        if not 0 <= steps <= total_steps - (warmup_steps if name == "cooldown" else 0):
            raise ConfigError(
                f"{name}_steps is {steps}; warm-up and cooldown must lie within the "
                f"run's {total_steps} steps"
            )
    make = lookup(DECAYS, decay, "learning rate decay")
    down = total_steps - cooldown_steps
    after = make(peak, down - warmup_steps, final_fraction)
    warmup = optax.linear_schedule(0.0, peak, max(warmup_steps, 1))
    parts, borders = [warmup, after], [warmup_steps]
    if cooldown_steps:
        last = optax.linear_schedule(peak, peak * final_fraction, cooldown_steps)
        parts, borders = [*parts, last], [*borders, down]
    return optax.join_schedules(parts, borders)

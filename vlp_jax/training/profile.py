"""A trace of chosen steps: where the time of a step goes."""

from collections.abc import Callable
from pathlib import Path

import jax

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.logs import say


def profiled(
    train_step: Callable, folder: Path, steps: range, first_step: int
) -> Callable:
    """`train_step` that records the given steps of a run into a folder.

    TensorBoard's profile plugin and Perfetto (https://ui.perfetto.dev) open the traces.

    Args:
      steps: numbers of steps as in the metrics; the run's first is 1. Empty: none.
      first_step: the step that the run goes on from.
    """
    if not steps:
        return train_step
    done = first_step

    def step(state, batch):
        nonlocal done
        done += 1
        if done == steps[0]:
            jax.block_until_ready(state)
            jax.profiler.start_trace(str(folder))
        result = train_step(state, batch)
        if done == steps[-1] and done - first_step >= len(steps):
            jax.block_until_ready(result)
            jax.profiler.stop_trace()
            say(f"profile of steps {steps[0]} to {steps[-1]} is in {folder}")
        return result

    return step


def profile_steps(first: int | None, count: int, last_step: int) -> range:
    """The steps to trace, none when `first` is not given; ConfigError if not run."""
    if first is None:
        return range(0)
    if not 1 <= first <= first + count - 1 <= last_step:
        raise ConfigError(
            f"profile.first_step {first} with profile.steps {count} lies outside the "
            f"run's steps 1 to {last_step}; the first step also compiles, so 5 is a "
            "good one to begin with"
        )
    return range(first, first + count)

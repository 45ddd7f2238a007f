"""Runs of tiny recipes that have begun and are saved, without a step of training."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from tests.recipes import tiny
from vlp_jax.checkpoint.storage import CheckpointStore
from vlp_jax.runs import TrainingRun
from vlp_jax.training.progress import Progress
from vlp_jax.training.state import TrainState


def begun(
    workdir: Path, recipe: Callable = tiny, **settings
) -> tuple[TrainingRun, TrainState]:
    """A run of a recipe, some of its settings changed, and its first state."""
    run = TrainingRun(recipe(**settings), workdir)
    return run, run.start()


def saved(
    workdir: Path, step: int, recipe: Callable = tiny, **settings
) -> tuple[TrainingRun, TrainState]:
    """The same with `step` on disk, where all parameters are one larger than at first.

    The average stays as it was; 16 samples were read a step, and 3 of all were bad.
    """
    run, state = begun(workdir, recipe, **settings)
    state = state.replace(params=jax.tree.map(lambda x: x + 1, state.params))
    return run, keep(run, state, step)


def keep(run: TrainingRun, state: TrainState, step: int) -> TrainState:
    """Writes a state to disk as if the run had come to `step` with it."""
    place, workdir = state.step.sharding, run.workdir
    state = state.replace(step=jax.device_put(jnp.int32(step), place))
    run.store = CheckpointStore(workdir, keep=3)
    progress = Progress(samples=16 * step, checkpoint=step)
    progress.bad["image_empty"] = 3
    run.save(step, state, progress)
    run.store.wait()
    return state


def untrained(workdir: Path, step: int, recipe: Callable = tiny, **settings) -> None:
    """A run whose `step` is on disk with the parameters that it began with."""
    run, state = begun(workdir, recipe, **settings)
    keep(run, state, step)
    run.store.close()

"""Steps whose loss or gradient is not finite: skipped, counted, and then acted upon."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import multihost_utils

from vlp_jax.core.errors import RunError
from vlp_jax.core.logs import say, talks
from vlp_jax.core.types import PyTree
from vlp_jax.training.plan import Plan
from vlp_jax.training.progress import Progress

REPORT = "nonfinite.json"


def keep_if(finite: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    """`new` where the scalar `finite` is true, else `old`, bit for bit."""

    def choose(n, o):
        return n if n is o else jnp.where(finite, n, o)

    return jax.tree.map(choose, new, old)


class Started(NamedTuple):
    """A step that was started: its number, its metrics and sample ids, on devices."""

    step: int
    metrics: dict[str, jax.Array]
    sample_ids: dict[str, Any]  # {stream: global array}

    @classmethod
    def of(cls, step: int, metrics: dict, batch: dict) -> "Started":
        ids = {name: x["sample_id"] for name, x in batch.items() if "sample_id" in x}
        return cls(step, metrics, ids)


def what_is_wrong(metrics: dict) -> str:
    """'the loss is nan', or 'the gradient_norm is inf' where the loss is finite."""
    loss, norm = float(metrics["loss"]), float(metrics["gradient_norm"])
    if math.isfinite(loss):
        return f"the gradient_norm is {norm}"
    return f"the loss is {loss}"


class NonFinitePolicy:
    """What follows when the updates of many steps in a row were skipped.

    The train step counts them in its state (TrainState.nonfinite). The loop looks at
    the count of step n - 1 while step n runs, always: it costs no waiting, and the
    same is decided by all processes, at any speed. A resumed run decides it again:
    checkpoints are written only when the count is 0, and the other counts that matter
    are saved with them.

    Args:
      plan: after how many skipped steps in a row to go back to earlier weights (a
        rollback), and after how many rollbacks to end with an error instead.
      folder: where the report of that error is written.
    """

    def __init__(self, plan: Plan, folder: Path):
        self.plan, self.folder = plan, folder
        self._good: Started | None = None  # the last finite step
        self._first: Started | None = None  # the first of those in a row

    def wants_rollback(self, last: Started, progress: Progress) -> bool:
        """Waits for a step and counts it; RunError when rollbacks do not help."""
        count = int(last.metrics["nonfinite"])
        if not count:
            self._good = last
            return False
        progress.skipped_updates += 1
        say(f"step {last.step}: {what_is_wrong(last.metrics)}: update skipped")
        if count == 1:
            self._first = last
        if count < self.plan.nonfinite_in_a_row:
            return False
        if progress.rollbacks >= self.plan.rollbacks:
            self._write_report(last, progress)
            raise RunError(
                f"{what_is_wrong(last.metrics)} at step {last.step}, after {count} "
                f"such steps in a row and {progress.rollbacks} rollbacks; the "
                f"checkpoints are intact. {self.folder / REPORT} names the samples of "
                "the first of these steps. Repair the data, or go on with a lower "
                "learning_rate.peak, more nonfinite.rollbacks and --accept_changes"
            )
        progress.rollbacks += 1
        progress.skipped_updates += 1  # the step that runs now is lost with its weights
        return True

    def _write_report(self, last: Started, progress: Progress) -> None:
        first, good = self._first, self._good
        ids = multihost_utils.process_allgather(first.sample_ids, tiled=True)
        if not talks():
            return
        before = first.step - 1
        report = {
            "steps": [first.step, last.step],
            "first_of_them": {
                "loss": str(float(first.metrics["loss"])),
                "gradient_norm": str(float(first.metrics["gradient_norm"])),
                "positions": {
                    name: [before * rows, first.step * rows - 1]
                    for name, rows in self.plan.rows.items()
                },
                "sample_ids": {name: x.tolist() for name, x in ids.items()},
            },
            "last_finite": good
            and {"step": good.step, "loss": float(good.metrics["loss"])},
            "skipped_updates": progress.skipped_updates,
            "rollbacks": progress.rollbacks,
        }
        path = self.folder / REPORT
        temporary = path.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(report, indent=2) + "\n")
            temporary.replace(path)
        except OSError as error:  # the reason why the run ends matters more
            say(f"{path} cannot be written: {error.strerror}")

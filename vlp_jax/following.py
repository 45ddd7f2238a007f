"""Evaluates the steps of a run while it trains: each that stays on disk, once.

What has been done is known from the results in the output folder alone, evaluator by
evaluator, so this can end at any moment and start again.
"""

import functools
import time
from pathlib import Path

from ml_collections import ConfigDict

from vlp_jax import trained
from vlp_jax.checkpoint.description import FOLDER
from vlp_jax.checkpoint.steps import CHECKPOINTS, committed_steps, step_folder
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.logs import say
from vlp_jax.evaluations import Evaluation, weights_digest
from vlp_jax.parallel.agreement import decided
from vlp_jax.parallel.hosts import together

POLL = 5.0  # seconds between looks at a run that has saved nothing new


class Follower:
    """Goes from step to step of a run, the oldest that is left first.

    Args:
      workdir: the run's; it need not be there yet.
      config: of an evaluation; None: the one that the run was started with.
      output, others: of an Evaluation.
    """

    def __init__(
        self,
        workdir: str,
        config: ConfigDict | None,
        output: str,
        others: tuple[str, ...] = (),
    ):
        path = Path(workdir).absolute()
        if path.parent.name == CHECKPOINTS or (path / FOLDER).is_dir():
            raise ConfigError(
                f"--follow waits for the steps of a run, and {workdir} is one step; "
                "give its workdir"
            )
        self.workdir, self.config = workdir, config
        self.output, self.others = output, others
        self.evaluation: Evaluation | None = None
        self.loaded: trained.LoadedCheckpoint | None = None
        self.passed: set[int] = set()  # damaged ones, and those that were deleted
        self.waiting = False

    def run(self) -> Evaluation:
        """Returns when the run's last step has been evaluated."""
        while True:
            steps = decided(lambda: committed_steps(self.workdir))
            newest = self._newest_config() if steps else None
            if newest is not None and self.evaluation is None:
                settings = self.config or newest.evaluation
                self.evaluation = Evaluation(settings, self.output, self.others)
            step, done = decided(functools.partial(self._left, steps))
            if step is not None:
                self._evaluate(step, done)
            elif newest is not None and steps[-1] >= _last_step(newest):
                return self.evaluation
            else:
                self._wait()

    def _left(self, steps: list[int]) -> tuple[int | None, list[str]]:
        """(the first step with something left to do, the evaluators that are done)."""
        if self.evaluation is None:
            return None, []
        done = self.evaluation.done()
        for step in steps:
            known = done.get(weights_digest(step_folder(self.workdir, step)), set())
            if step not in self.passed and self.evaluation.evaluators.keys() - known:
                return step, sorted(known)
        return None, []

    def _evaluate(self, step: int, done: list[str]) -> None:
        self.waiting = False
        try:
            self.loaded = self._load(str(step_folder(self.workdir, step)))
        except (ConfigError, RunError) as error:
            gone = not step_folder(self.workdir, step).is_dir()
            if together() or not gone and isinstance(error, ConfigError):
                raise
            self.passed.add(step)
            why = "it was deleted before it was read" if gone else str(error)
            say(f"warning: step {step} is left out: {why}", style="yellow")
            return
        self.evaluation.run(self.loaded, done, go_on=True)

    def _load(self, path: str) -> trained.LoadedCheckpoint:
        weights = self.evaluation.settings.weights
        if self.loaded is not None:
            return trained.load_another(self.loaded, path, weights)
        batch_size = self.evaluation.settings.batch_size
        return trained.load_checkpoint(path, batch_size, weights)

    def _newest_config(self) -> ConfigDict | None:
        """The run's, as its newest checkpoint has it; None while all are damaged."""
        try:
            return trained.checkpoint_config(self.workdir)
        except RunError:
            if together():
                raise
            return None

    def _wait(self) -> None:
        if not self.waiting:
            say(f"  waiting   for the next step of {self.workdir} (Ctrl-C ends this)")
        self.waiting = True
        time.sleep(POLL)


def _last_step(config: ConfigDict) -> int:
    """The step that a run of this config ends with."""
    return min(config.steps, config.stop_after or config.steps)

"""The training loop: fetch, step, and now and then log, evaluate and save."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator

import jax

from vlp_jax.core.errors import Preempted, RunError
from vlp_jax.core.logs import MetricsWriter, ProgressReport, duration, say
from vlp_jax.parallel.hosts import together
from vlp_jax.training.nonfinite import NonFinitePolicy, Started, what_is_wrong
from vlp_jax.training.plan import Plan
from vlp_jax.training.progress import Progress
from vlp_jax.training.state import TrainState
from vlp_jax.training.watchdog import PATIENT, Watchdog


class Stopwatch:
    """Time since the last reading, and the part of it that input held up.

    Waiting for a batch counts when the devices had nothing left to do at its end: a
    wait behind which a step is still running costs nothing.
    """

    def __init__(self):
        self.restart()

    def restart(self) -> None:
        self._start, self._waited, self._steps = time.perf_counter(), 0.0, 0

    def fetch(self, batches: Iterator, running: jax.Array | None):
        """The next batch; `running` is a result of the step that was started last."""
        start = time.perf_counter()
        batch = next(batches)
        if running is None or running.is_ready():
            self._waited += time.perf_counter() - start
        self._steps += 1
        return batch

    def read(self, batch_size: int) -> dict[str, float]:
        """Speed over the steps since the last reading, which starts anew."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        images = batch_size * self._steps / seconds
        timing = {
            "images_per_second": images,
            "images_per_second_per_device": images / jax.device_count(),
            "input_wait_share": self._waited / seconds,
            "seconds_per_step": seconds / max(self._steps, 1),
        }
        self.restart()
        return timing


@dataclasses.dataclass
class Loop:
    """Runs the steps of a plan.

    Attributes:
      plan: when things happen.
      train_step: (state, batch on devices) -> (state, metrics on devices).
      place: host arrays -> batch on devices.
      describe_bad: names of bad samples, for the error message.
      evaluate: state -> metrics.
      save: (step, state, progress) starts to write a checkpoint.
      roll_back: (checkpoint, step) -> the state of that checkpoint, at that step.
      learning_rate: step -> rate, for the log.
      writer: where metric rows go.
      nonfinite: what follows when updates were skipped.
      preempted: steps done here -> whether to save and end after this one.
      watchdog: is told what is being done.
    """

    plan: Plan
    train_step: Callable
    place: Callable
    describe_bad: Callable[[], str]
    evaluate: Callable[[TrainState], dict[str, float]]
    save: Callable[[int, TrainState, Progress], None]
    roll_back: Callable[[int, int], TrainState]
    learning_rate: Callable[[int], float]
    writer: MetricsWriter
    nonfinite: NonFinitePolicy
    preempted: Callable[[int], bool]
    watchdog: Watchdog

    def run(
        self, state: TrainState, batches: Iterator, progress: Progress
    ) -> TrainState:
        """Steps from state.step to the plan's last.

        Raises Preempted when told to end, and RunError where it cannot go on.
        """
        plan, first = self.plan, int(state.step)
        step, last = first, None
        report, watch = ProgressReport(plan.last_step, step), Stopwatch()
        try:
            while step < plan.last_step:
                self.watchdog.at(f"waiting for the batch of step {step + 1}")
                host_batch = watch.fetch(batches, last and last.metrics["loss"])
                step += 1
                compiles = last is None
                self.watchdog.at(f"step {step}", PATIENT if compiles else 1)
                batch = self.place(host_batch.arrays)
                state, metrics = self.train_step(state, batch)
                # Waits for the step before: at most one runs while one waits.
                if last and self.nonfinite.wants_rollback(last, progress):
                    state = None  # makes room for the other
                    state, last = self._rolled_back(step, progress), None
                    metrics["nonfinite"] = state.nonfinite
                else:
                    last = Started.of(step, metrics, batch)
                stop = self.preempted(step - first) and step < plan.last_step
                self._count(step, progress, host_batch.bad, stop)
                report.advance(step)
                self._log(step, state, metrics, progress, report, watch)
                if stop or self._due(step, plan.save_every):
                    self._save(step, state, metrics, progress, stop)
                if stop:
                    raise Preempted(step)
        finally:
            report.close()
        return state

    def _due(self, step: int, every: int) -> bool:
        return step == self.plan.last_step or (every > 0 and step % every == 0)

    def _rolled_back(self, step: int, progress: Progress) -> TrainState:
        said = f"step {progress.checkpoint}" if progress.checkpoint else "the beginning"
        say(
            f"step {step}: going on with the weights of {said} "
            f"(rollback {progress.rollbacks} of {self.plan.rollbacks})"
        )
        self.watchdog.at(f"rolling back at step {step}", PATIENT)
        return self.roll_back(progress.checkpoint, step)

    def _count(
        self, step: int, progress: Progress, bad: dict[str, int], stop: bool
    ) -> None:
        plan = self.plan
        progress.samples += plan.batch_size
        progress.own.update(bad)
        # Several processes agree on their counts only when somebody is going to look.
        due = self._due(step, plan.log_every) or self._due(step, plan.save_every)
        if together() and not due and not stop:
            return
        progress.settle()
        count = progress.bad.total()
        # A few bad samples in the first batch say nothing about the share.
        if count > plan.max_bad_share * max(progress.samples, 1000):
            raise RunError(
                f"{count} of {progress.samples} samples could not be used, more than "
                f"data.max_bad_share = {plan.max_bad_share}. "
                f"{self.describe_bad()}. Repair the data or raise the limit."
            )

    def _log(self, step, state, metrics, progress, report, watch) -> None:
        plan, row, timing = self.plan, {}, {}
        if self._due(step, plan.log_every):
            row |= self._metrics(step, metrics, progress)
            timing = watch.read(plan.batch_size)
            self._say(report, step, row, timing)
        if self._due(step, plan.evaluate_every):
            self.watchdog.at(f"evaluating after step {step}", PATIENT)
            row |= self.evaluate(state)
            watch.restart()
        if row:
            self.writer.write(step, row, timing)

    def _metrics(self, step: int, metrics: dict, progress: Progress) -> dict:
        row = {name: float(value) for name, value in jax.device_get(metrics).items()}
        # The last step is not among the skipped ones yet; see NonFinitePolicy.
        skipped = progress.skipped_updates + (row.pop("nonfinite") > 0)
        # JSON has no NaN.
        row = {name: x if math.isfinite(x) else None for name, x in row.items()}
        row["learning_rate"] = float(self.learning_rate(step - 1))
        row["samples"] = progress.samples
        row |= {f"bad_samples/{cause}": n for cause, n in sorted(progress.bad.items())}
        counts = {"skipped_updates": skipped, "rollbacks": progress.rollbacks}
        return row | {name: n for name, n in counts.items() if n}

    def _save(self, step, state, metrics, progress: Progress, stop: bool) -> None:
        """Starts to save, unless the update of the step was skipped.

        The last step is saved even then, with the weights before it: it will not be
        looked at again.
        """
        self.watchdog.at(f"saving step {step}", PATIENT)
        if int(metrics["nonfinite"]):
            problem = what_is_wrong(metrics)
            if not stop and step < self.plan.last_step:
                say(f"step {step} is not saved: {problem}")
                return
            say(f"step {step}: {problem}: update skipped")
            progress.skipped_updates += 1
        if step % self.plan.save_every == 0:
            progress.checkpoint = step
        self.save(step, state, progress)

    def _say(self, report: ProgressReport, step: int, row: dict, timing: dict) -> None:
        left = (self.plan.last_step - step) * timing["seconds_per_step"]
        loss = "not finite" if row["loss"] is None else f"{row['loss']:.3f}"
        text = (
            f"loss {loss}  {timing['images_per_second']:.0f} images/s  "
            f"input wait {timing['input_wait_share']:.0%}"
        )
        bad = sum(n for name, n in row.items() if name.startswith("bad_samples/"))
        text += f"  {bad} bad samples" if bad else ""
        plain = f"step {step}/{self.plan.last_step}  {text}  ETA {duration(left)}"
        report.line(text, plain)

"""The training loop: fetch, step, and now and then log, evaluate and save."""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator

import jax

from vlp_jax.core.errors import BAD_SAMPLE_CAUSES, RunError, check_range
from vlp_jax.core.logs import MetricsWriter, ProgressReport, duration
from vlp_jax.parallel.hosts import sum_counts, together
from vlp_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Plan:
    """When things happen, in steps; `last_step` may come before `total_steps`."""

    total_steps: int
    last_step: int
    batch_size: int
    log_every: int
    save_every: int
    evaluate_every: int
    max_bad_share: float

    def __post_init__(self):
        check_range("steps", self.total_steps, 1)
        check_range("batch_size", self.batch_size, 1)
        check_range("log_every", self.log_every, 1)
        check_range("checkpoint.every", self.save_every, 1)


@dataclasses.dataclass
class Progress:
    """Counters that are saved with the state: what the steps so far consumed.

    `samples` and `bad` are of all processes together; `own` is what this process has
    counted since the last `settle`, and is never saved.
    """

    samples: int = 0
    bad: Counter = dataclasses.field(default_factory=Counter)
    own: Counter = dataclasses.field(default_factory=Counter)

    def settle(self) -> None:
        """Adds what all processes have counted; each of them calls it."""
        self.bad.update(sum_counts(self.own, BAD_SAMPLE_CAUSES))
        self.own.clear()

    def to_dict(self) -> dict:
        return {"samples": self.samples, "bad": dict(self.bad)}

    @classmethod
    def from_dict(cls, saved: dict) -> "Progress":
        return cls(saved["samples"], Counter(saved["bad"]))


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
      learning_rate: step -> rate, for the log.
      writer: where metric rows go.
    """

    plan: Plan
    train_step: Callable
    place: Callable
    describe_bad: Callable[[], str]
    evaluate: Callable[[TrainState], dict[str, float]]
    save: Callable[[int, TrainState, Progress], None]
    learning_rate: Callable[[int], float]
    writer: MetricsWriter

    def run(
        self, state: TrainState, batches: Iterator, progress: Progress
    ) -> TrainState:
        """Steps from state.step to the plan's last; raises RunError on NaN."""
        plan, step = self.plan, int(state.step)
        report = ProgressReport(plan.last_step, step)
        watch, running = Stopwatch(), None
        try:
            while step < plan.last_step:
                host_batch = watch.fetch(batches, running)
                state, metrics = self.train_step(state, self.place(host_batch.arrays))
                if running is not None:  # at most one step runs while one waits
                    running.block_until_ready()
                running = metrics["loss"]
                step += 1
                self._count(step, progress, host_batch.bad)
                report.advance(step)
                row, timing = {}, {}
                if self._due(step, plan.log_every):
                    row |= self._metrics(step, metrics, progress)
                    timing = watch.read(plan.batch_size)
                    self._say(report, step, row, timing)
                if self._due(step, plan.evaluate_every):
                    row |= self.evaluate(state)
                    watch.restart()
                if row:
                    self.writer.write(step, row, timing)
                if self._due(step, plan.save_every):
                    self._check_finite(step, jax.device_get(metrics))
                    self.save(step, state, progress)
        finally:
            report.close()
        return state

    def _due(self, step: int, every: int) -> bool:
        return step == self.plan.last_step or (every > 0 and step % every == 0)

    def _count(self, step: int, progress: Progress, bad: dict[str, int]) -> None:
        plan = self.plan
        progress.samples += plan.batch_size
        progress.own.update(bad)
        # Several processes agree on their counts only when somebody is going to look.
        due = self._due(step, plan.log_every) or self._due(step, plan.save_every)
        if together() and not due:
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

    def _metrics(self, step: int, metrics: dict, progress: Progress) -> dict:
        row = {name: float(value) for name, value in jax.device_get(metrics).items()}
        self._check_finite(step, row)
        row["learning_rate"] = float(self.learning_rate(step - 1))
        row["samples"] = progress.samples
        row |= {f"bad_samples/{cause}": n for cause, n in sorted(progress.bad.items())}
        return row

    def _check_finite(self, step: int, metrics: dict) -> None:
        # A loss may be finite where its gradient, and so the new weights, are not.
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(metrics[name]):
                raise RunError(
                    f"the {name} is {float(metrics[name])} at step {step}; the last "
                    "checkpoint is intact. Lower learning_rate.peak or lengthen "
                    "learning_rate.warmup_steps"
                )

    def _say(self, report: ProgressReport, step: int, row: dict, timing: dict) -> None:
        left = (self.plan.last_step - step) * timing["seconds_per_step"]
        text = (
            f"loss {row['loss']:.3f}  {timing['images_per_second']:.0f} images/s  "
            f"input wait {timing['input_wait_share']:.0%}"
        )
        bad = sum(n for name, n in row.items() if name.startswith("bad_samples/"))
        text += f"  {bad} bad samples" if bad else ""
        plain = f"step {step}/{self.plan.last_step}  {text}  ETA {duration(left)}"
        report.line(text, plain)

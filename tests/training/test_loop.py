"""What the loop does when, and what stops it. The step here is a counter."""

import dataclasses
import itertools
import math
import time
from collections import Counter

import jax.numpy as jnp
import pytest

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.data.loader import HostBatch
from vlp_jax.training import loop
from vlp_jax.training.loop import Loop, Plan, Progress, Stopwatch

PLAN = Plan(
    total_steps=12,
    last_step=12,
    batch_size=100,
    log_every=3,
    save_every=4,
    evaluate_every=6,
    max_bad_share=0.1,
)


@dataclasses.dataclass
class State:
    step: int


class Recorder:
    """A loop whose parts write down that they were called."""

    def __init__(self, plan: Plan = PLAN, losses=None, norms=None, bad=None):
        self.losses, self.norms, self.bad = losses or {}, norms or {}, bad or {}
        self.events, self.rows, self.saved, self.fetched = [], [], {}, 0
        self.loop = Loop(
            plan=plan,
            train_step=self.train_step,
            place=lambda arrays: arrays,
            describe_bad=lambda: "image_empty: a.jpg, b.jpg",
            evaluate=self.evaluate,
            save=self.save,
            learning_rate=lambda step: step / 100,
            writer=self,
        )

    def batches(self, first_step: int):
        for step in itertools.count(first_step + 1):
            self.fetched += 1
            yield HostBatch({"pairs": step}, self.bad.get(step, {}))

    def train_step(self, state: State, batch):
        step = state.step + 1
        assert batch == {"pairs": step}
        loss, norm = self.losses.get(step, 1 / step), self.norms.get(step, 0.5)
        return State(step), {
            "loss": jnp.float32(loss),
            "gradient_norm": jnp.array(norm),
        }

    def evaluate(self, state: State):
        self.events.append(f"evaluate {state.step}")
        return {"retrieval/recall": state.step / 10}

    def write(self, step, metrics, timing):
        self.events.append(f"write {step}")
        self.rows.append({"step": step, **metrics, "timing": timing})

    def save(self, step, state, progress):
        assert state.step == step
        self.events.append(f"save {step}")
        self.saved[step] = progress.to_dict()

    def run(self, first_step: int = 0, progress: Progress | None = None) -> State:
        batches = self.batches(first_step)
        return self.loop.run(State(first_step), batches, progress or Progress())


def test_a_row_is_written_before_the_checkpoint_that_follows_it():
    """Otherwise a kill between the two loses the row: the step is not done again."""
    found = Recorder()
    assert found.run().step == 12
    assert found.events == [
        "write 3",
        "save 4",
        "evaluate 6",
        "write 6",
        "save 8",
        "write 9",
        "evaluate 12",
        "write 12",
        "save 12",
    ]
    assert found.fetched == 12


def test_rows_hold_metrics_and_only_timing_stands_apart():
    found = Recorder()
    found.run()
    assert [row["step"] for row in found.rows] == [3, 6, 9, 12]
    row = found.rows[1]
    assert set(row.pop("timing")) == {
        "images_per_second",
        "images_per_second_per_device",
        "input_wait_share",
        "seconds_per_step",
    }
    assert row == {
        "step": 6,
        "loss": pytest.approx(1 / 6),
        "gradient_norm": 0.5,
        "learning_rate": 0.05,  # the rate of the step that was done, 0-based
        "samples": 600,
        "retrieval/recall": 0.6,
    }


def test_the_last_step_logs_evaluates_and_saves_whatever_the_plan():
    plan = dataclasses.replace(PLAN, last_step=5, evaluate_every=0, save_every=100)
    found = Recorder(plan)
    found.run()
    assert found.events == ["write 3", "evaluate 5", "write 5", "save 5"]


def test_going_on_does_what_was_left():
    whole, second = Recorder(), Recorder()
    whole.run()
    second.run(8, Progress.from_dict(whole.saved[8]))
    assert second.events == whole.events[5:]
    assert second.fetched == 4
    for row, expected in zip(second.rows, whole.rows[2:], strict=True):
        assert row | {"timing": 0} == expected | {"timing": 0}
    assert second.saved[12] == whole.saved[12]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("what", ["losses", "norms"])
@pytest.mark.parametrize(("since", "noticed"), [(7, 8), (9, 9), (5, 6)])
def test_nan_stops_the_run_at_the_next_row_or_checkpoint(value, what, since, noticed):
    found = Recorder(**{what: dict.fromkeys(range(since, 13), value)})
    with pytest.raises(RunError) as caught:
        found.run()
    name = {"losses": "loss", "norms": "gradient_norm"}[what]
    assert str(caught.value).startswith(f"the {name} is {value} at step {noticed};")
    assert "learning_rate.peak" in str(caught.value)
    assert f"save {noticed}" not in found.events
    assert f"write {noticed}" not in found.events
    assert all(step < since for step in found.saved)


def test_bad_samples_are_counted_in_rows_and_checkpoints():
    bad = {2: {"image_empty": 3}, 7: {"image_empty": 1, "image_missing": 2}}
    found = Recorder(bad=bad)
    found.run()
    counts = [
        {k: v for k, v in row.items() if k.startswith("bad_samples/")}
        for row in found.rows
    ]
    late = {"bad_samples/image_empty": 4, "bad_samples/image_missing": 2}
    assert counts == [*[{"bad_samples/image_empty": 3}] * 2, late, late]
    assert found.saved[4] == {"samples": 400, "bad": {"image_empty": 3}}
    assert found.saved[8]["bad"] == {"image_empty": 4, "image_missing": 2}


@pytest.mark.parametrize(
    ("bad", "stops_at"),
    [
        ({1: 100}, None),  # a tenth of the first 1,000 is the limit
        ({1: 101}, 1),
        ({1: 60, 5: 41}, 5),
        ({1: 60, 5: 40, 11: 10}, None),  # 110 of 1,100
        ({1: 60, 5: 40, 11: 11}, 11),
    ],
)
def test_too_many_bad_samples_stop_the_run(bad, stops_at):
    found = Recorder(bad={step: {"image_empty": n} for step, n in bad.items()})
    if stops_at is None:
        found.run()
        return
    with pytest.raises(RunError) as caught:
        found.run()
    said = str(caught.value)
    count = sum(n for step, n in bad.items() if step <= stops_at)
    assert said.startswith(f"{count} of {100 * stops_at} samples could not be used")
    assert "data.max_bad_share = 0.1" in said
    assert "image_empty: a.jpg, b.jpg" in said
    assert max(found.saved, default=0) < stops_at


def test_bad_samples_before_the_restart_count():
    progress = Progress(400, Counter(image_empty=90))
    found = Recorder(bad={5: {"image_missing": 11}})
    with pytest.raises(RunError, match="101 of 500 samples"):
        found.run(4, progress)


def as_one_of(monkeypatch, processes: int):
    """Every process counts what this one does."""
    settled = []

    def sum_counts(own, names):
        settled.append(own.total())
        return Counter({name: processes * own[name] for name in own})

    monkeypatch.setattr(loop, "together", lambda: True)
    monkeypatch.setattr(loop, "sum_counts", sum_counts)
    return settled


def test_processes_agree_on_counts_only_when_somebody_looks(monkeypatch):
    settled = as_one_of(monkeypatch, 4)
    found = Recorder(bad=dict.fromkeys(range(1, 13), {"image_empty": 1}))
    found.run()
    assert settled == [3, 1, 2, 2, 1, 3]  # at steps 3, 4, 6, 8, 9, 12
    assert [row["bad_samples/image_empty"] for row in found.rows] == [12, 24, 36, 48]
    assert {k: v["bad"] for k, v in found.saved.items()} == {
        step: {"image_empty": 4 * step} for step in (4, 8, 12)
    }


def test_the_limit_holds_for_all_processes_together(monkeypatch):
    as_one_of(monkeypatch, 4)
    found = Recorder(bad={5: {"image_empty": 26}})
    with pytest.raises(RunError, match="104 of 600 samples could not be used"):
        found.run()


@pytest.mark.parametrize(
    ("field", "setting"),
    [
        ("total_steps", "steps"),
        ("batch_size", "batch_size"),
        ("log_every", "log_every"),
        ("save_every", "checkpoint.every"),
    ],
)
def test_a_plan_that_makes_no_sense(field, setting):
    with pytest.raises(ConfigError, match=f"^{setting} is 0; expected at least 1"):
        dataclasses.replace(PLAN, **{field: 0})


class Running:
    """A result of a step that is still, or no longer, being computed."""

    def __init__(self, ready: bool):
        self.ready = ready

    def is_ready(self) -> bool:
        return self.ready


@pytest.mark.parametrize("ready", [True, False])
def test_a_wait_counts_only_when_the_devices_are_out_of_work(ready):
    def slow():
        while True:
            time.sleep(0.02)
            yield HostBatch({}, {})

    watch = Stopwatch()
    watch.fetch(slow(), Running(ready))
    share = watch.read(batch_size=1)["input_wait_share"]
    assert share > 0.5 if ready else share == 0
    assert watch.read(batch_size=1)["input_wait_share"] == 0

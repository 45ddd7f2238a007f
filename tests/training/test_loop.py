"""What the loop does when, and what stops it. The step here is a counter."""

import dataclasses
import itertools
import json
import math
import time
from collections import Counter

import jax.numpy as jnp
import pytest

from vlp_jax.core.errors import ConfigError, Preempted, RunError
from vlp_jax.data.loader import HostBatch
from vlp_jax.training import loop, progress
from vlp_jax.training.loop import Loop, Stopwatch
from vlp_jax.training.nonfinite import NonFinitePolicy
from vlp_jax.training.plan import Plan
from vlp_jax.training.progress import Progress
from vlp_jax.training.watchdog import PATIENT

PLAN = Plan(
    total_steps=12,
    last_step=12,
    batch_size=100,
    log_every=3,
    save_every=4,
    evaluate_every=6,
    max_bad_share=0.1,
    nonfinite_in_a_row=3,
    rollbacks=1,
    watchdog=0,
)


@dataclasses.dataclass
class State:
    step: int
    nonfinite: int = 0


class Recorder:
    """A loop whose parts write down that they were called."""

    def __init__(
        self, plan=PLAN, losses=None, norms=None, bad=None, stop=None, folder=None
    ):
        self.losses, self.norms, self.bad = losses or {}, norms or {}, bad or {}
        self.events, self.rows, self.saved, self.fetched = [], [], {}, 0
        self.seen, self.stop = [], stop  # seen: by the watchdog
        self.loop = Loop(
            plan=plan,
            train_step=self.train_step,
            place=lambda arrays: arrays,
            describe_bad=lambda: "image_empty: a.jpg, b.jpg",
            evaluate=self.evaluate,
            save=self.save,
            roll_back=self.roll_back,
            learning_rate=lambda step: step / 100,
            writer=self,
            nonfinite=NonFinitePolicy(plan, folder),
            preempted=lambda steps: steps == stop,
            watchdog=self,
        )

    def at(self, what: str, patience: float = 1) -> None:
        self.seen.append((what, patience))

    def batches(self, first_step: int):
        for step in itertools.count(first_step + 1):
            self.fetched += 1
            arrays = {"pairs": {"sample_id": jnp.arange(2) + step}}
            yield HostBatch(arrays, self.bad.get(step, {}))

    def train_step(self, state: State, batch):
        step = state.step + 1
        assert batch["pairs"]["sample_id"].tolist() == [step, step + 1]
        loss, norm = self.losses.get(step, 1 / step), self.norms.get(step, 0.5)
        finite = math.isfinite(loss) and math.isfinite(norm)
        nonfinite = 0 if finite else state.nonfinite + 1
        return State(step, nonfinite), {
            "loss": jnp.float32(loss),
            "gradient_norm": jnp.array(norm),
            "nonfinite": jnp.int32(nonfinite),
        }

    def roll_back(self, checkpoint: int, step: int) -> State:
        self.events.append(f"roll back to {checkpoint} at {step}")
        return State(step)

    def evaluate(self, state: State):
        self.events.append(f"evaluate {state.step}")
        return {"retrieval/recall": state.step / 10}

    def write(self, step, metrics, timing):
        self.events.append(f"write {step}")
        self.rows.append({"step": step, **metrics, "timing": timing})

    def save(self, step, state, progress):
        last = step in (self.stop, self.loop.plan.last_step)
        assert state.step == step and (last or not state.nonfinite)
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


def nan_at(*steps: int) -> dict[int, float]:
    return dict.fromkeys(steps, math.nan)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("what", ["losses", "norms"])
@pytest.mark.parametrize("steps", [(5,), (6, 7), (3, 8, 9)])
def test_what_is_not_finite_is_counted_said_and_not_saved(value, what, steps, capsys):
    found = Recorder(**{what: dict.fromkeys(steps, value)})
    assert found.run().step == 12
    name = {"losses": "loss", "norms": "gradient_norm"}[what]
    said = capsys.readouterr().out
    for step in steps:
        assert f"step {step}: the {name} is {value}: update skipped" in said
        assert (f"step {step} is not saved: the {name} is {value}" in said) == (
            step == 8
        )
    assert list(found.saved) == [step for step in (4, 8, 12) if step not in steps]
    for row in found.rows:
        so_far = sum(step <= row["step"] for step in steps)
        assert row.get("skipped_updates", 0) == so_far
        assert (row[name] is None) == (row["step"] in steps)
        assert row.keys().isdisjoint({"nonfinite", "rollbacks"})
    for step, saved in found.saved.items():
        assert saved["skipped_updates"] == sum(s <= step for s in steps)


@pytest.mark.parametrize(
    ("bad", "at", "to", "lost"),
    [
        ((5, 6, 7), 8, 4, 4),
        ((1, 2, 3), 4, 0, 4),  # before there is a checkpoint
        ((7, 8, 9), 10, 4, 4),  # step 8 was not saved
        ((9, 10, 11), 12, 8, 4),  # in the last step
    ],
)
def test_so_many_in_a_row_lead_back_to_the_last_checkpoint(bad, at, to, lost, capsys):
    found = Recorder(losses=nan_at(*bad))
    assert found.run().step == 12
    moves = [event for event in found.events if "roll" in event]
    assert moves == [f"roll back to {to} at {at}"]
    where = f"step {to}" if to else "the beginning"
    line = f"step {at}: going on with the weights of {where} (rollback 1 of 1)"
    assert line in capsys.readouterr().out
    assert found.fetched == 12  # the data go on
    assert found.rows[-1]["rollbacks"] == 1
    assert found.rows[-1]["skipped_updates"] == lost
    last = found.saved[12]
    assert (last["rollbacks"], last["skipped_updates"]) == (1, lost)


def test_what_follows_a_rollback_is_the_same_after_a_kill():
    """Nothing is saved in a row of bad steps, so a resumed run meets it again."""
    whole = Recorder(losses=nan_at(6, 7, 8))
    whole.run()
    assert "roll back to 4 at 9" in whole.events
    second = Recorder(losses=nan_at(6, 7, 8))
    second.run(4, Progress.from_dict(whole.saved[4]))
    assert second.events == whole.events[2:]
    assert second.saved[12] == whole.saved[12]


def test_a_checkpoint_out_of_turn_is_none_to_go_back_to():
    """Or it would depend on when a run was preempted what a rollback leads to."""
    first = Recorder(losses=nan_at(6, 7, 8), stop=5)
    with pytest.raises(Preempted):
        first.run()
    assert list(first.saved) == [4, 5] and first.saved[5]["checkpoint"] == 4
    second = Recorder(losses=nan_at(6, 7, 8))
    second.run(5, Progress.from_dict(first.saved[5]))
    assert "roll back to 4 at 9" in second.events


def test_rollbacks_come_to_an_end(tmp_path):
    found = Recorder(losses=nan_at(*range(5, 13)), folder=tmp_path)
    with pytest.raises(RunError) as caught:
        found.run()
    # Step 9 starts a new row of bad steps, with the weights of step 4.
    assert str(caught.value).startswith("the loss is nan at step 11, after 3 such ")
    assert [e for e in found.events if "roll" in e] == ["roll back to 4 at 8"]
    report = json.loads((tmp_path / "nonfinite.json").read_text())
    assert report["steps"] == [9, 11]
    assert report["first_of_them"]["sample_ids"] == {"pairs": [9, 10]}
    assert report["last_finite"] == {"step": 4, "loss": 0.25}
    assert report["skipped_updates"] == 7  # 5 to 8 and 9 to 11


def test_the_last_step_is_saved_even_where_its_update_was_skipped():
    """Otherwise the same command would end at the same step, again and again."""
    found = Recorder(norms=nan_at(12))
    found.run()
    assert list(found.saved) == [4, 8, 12]
    assert found.saved[12]["skipped_updates"] == 1
    assert (
        "skipped_updates" not in found.saved[8] or not found.saved[8]["skipped_updates"]
    )


# ---- told to end


@pytest.mark.parametrize(("stop", "due"), [(5, False), (8, True), (1, False)])
def test_told_to_end_it_saves_once_and_ends(stop, due):
    found = Recorder(stop=stop, bad={stop: {"image_empty": 1}})
    with pytest.raises(Preempted, match=f"step {stop} is saved; the same command"):
        found.run()
    assert found.events[-1] == f"save {stop}"
    assert found.events.count(f"save {stop}") == 1
    assert found.saved[stop]["bad"] == {"image_empty": 1}
    assert found.saved[stop]["samples"] == 100 * stop
    whole, rest = Recorder(), Recorder()
    whole.run()
    rest.run(stop, Progress.from_dict(found.saved[stop]))
    assert [r["step"] for r in found.rows + rest.rows] == [3, 6, 9, 12]


def test_steps_are_counted_from_where_the_run_went_on():
    found = Recorder(stop=2)
    with pytest.raises(Preempted, match="step 6 is saved"):
        found.run(4)


def test_told_to_end_in_a_bad_step_it_saves_the_weights_before():
    found = Recorder(stop=6, losses=nan_at(6))
    with pytest.raises(Preempted, match="step 6 is saved"):
        found.run()
    assert list(found.saved) == [4, 6]
    assert found.saved[6]["skipped_updates"] == 1


def test_told_to_end_in_the_last_step_it_is_done():
    found = Recorder(stop=12)
    assert found.run().step == 12 and 12 in found.saved


# ---- watched


def test_the_watchdog_knows_what_is_done_and_is_patient_where_it_takes_long():
    found = Recorder(dataclasses.replace(PLAN, last_step=6), losses=nan_at(1, 2, 3))
    found.run()
    assert found.seen[:4] == [
        ("waiting for the batch of step 1", 1),
        ("step 1", PATIENT),  # compiles
        ("waiting for the batch of step 2", 1),
        ("step 2", 1),
    ]
    patient = [what for what, patience in found.seen if patience == PATIENT]
    assert patient == [
        "step 1",
        "rolling back at step 4",
        "saving step 4",
        "step 5",  # compiles, should the state have come back in another form
        "evaluating after step 6",
        "saving step 6",
    ]


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
    assert found.saved[4]["samples"] == 400
    assert found.saved[4]["bad"] == {"image_empty": 3}
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
    before = Progress(400, Counter(image_empty=90))
    found = Recorder(bad={5: {"image_missing": 11}})
    with pytest.raises(RunError, match="101 of 500 samples"):
        found.run(4, before)


def as_one_of(monkeypatch, processes: int):
    """Every process counts what this one does."""
    settled = []

    def sum_counts(own, names):
        settled.append(own.total())
        return Counter({name: processes * own[name] for name in own})

    monkeypatch.setattr(loop, "together", lambda: True)
    monkeypatch.setattr(progress, "sum_counts", sum_counts)
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


def test_processes_agree_on_counts_when_they_are_told_to_end(monkeypatch):
    settled = as_one_of(monkeypatch, 4)
    found = Recorder(bad=dict.fromkeys(range(1, 13), {"image_empty": 1}), stop=5)
    with pytest.raises(Preempted):
        found.run()
    assert settled == [3, 1, 1] and found.saved[5]["bad"] == {"image_empty": 20}


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
        ("nonfinite_in_a_row", "nonfinite.in_a_row"),
    ],
)
def test_a_plan_that_makes_no_sense(field, setting):
    with pytest.raises(ConfigError, match=f"^{setting} is 0; expected at least 1"):
        dataclasses.replace(PLAN, **{field: 0})
    with pytest.raises(ConfigError, match="^nonfinite.rollbacks is -1; expected at"):
        dataclasses.replace(PLAN, rollbacks=-1)
    with pytest.raises(ConfigError, match="^watchdog is -2.0; expected at least 0"):
        dataclasses.replace(PLAN, watchdog=-2.0)


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

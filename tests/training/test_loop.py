"""What the loop does when, and what stops it. The step here is a counter."""

import time

import pytest

from tests.training.plans import plan
from tests.training.recorder import Recorder, nan_at
from vlp_jax.core.errors import Preempted
from vlp_jax.data.loader import HostBatch
from vlp_jax.training.loop import Stopwatch
from vlp_jax.training.progress import Progress
from vlp_jax.training.watchdog import PATIENT


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
    found = Recorder(plan(last_step=5, evaluate_every=0, save_every=100))
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
    found = Recorder(plan(last_step=6), losses=nan_at(1, 2, 3))
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


# ---- how long it waits


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

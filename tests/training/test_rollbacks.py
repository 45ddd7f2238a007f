"""What the loop does with steps that are not finite: skips, goes back, gives up."""

import json
import math

import pytest

from tests.training.recorder import Recorder, nan_at
from vlp_jax.core.errors import Preempted, RunError
from vlp_jax.training.progress import Progress


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

"""What the steps of a run consumed and met: counted, agreed on, saved, and limited."""

from collections import Counter

import pytest

from tests.training.recorder import Recorder
from vlp_jax.core.errors import Preempted, RunError
from vlp_jax.training import loop, progress
from vlp_jax.training.progress import Progress


def test_what_is_saved_comes_back():
    """But for what this process alone has counted, which is settled before."""
    found = Progress(400, Counter(image_empty=3), 2, 1, 40, Counter(image_missing=1))
    saved = found.to_dict()
    assert saved == {
        "samples": 400,
        "bad": {"image_empty": 3},
        "skipped_updates": 2,
        "rollbacks": 1,
        "checkpoint": 40,
    }
    again = Progress.from_dict(saved)
    assert again == Progress(400, Counter(image_empty=3), 2, 1, 40)
    assert isinstance(again.bad, Counter)
    again.bad["image_missing"] += 1
    assert saved["bad"] == {"image_empty": 3} == found.to_dict()["bad"]


def test_what_another_version_saved():
    """Counters that it lacked are zero; those that are gone are passed over."""
    found = Progress.from_dict({"samples": 8, "bad": {}, "step": 2, "relic": 5})
    assert found == Progress(samples=8)


def test_settling_adds_what_was_counted_once():
    found = Progress(bad=Counter(image_empty=3))
    found.own.update(image_empty=1, image_missing=2)
    for _ in range(2):
        found.settle()
        assert found.bad == {"image_empty": 4, "image_missing": 2} and not found.own


# ---- in the loop


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

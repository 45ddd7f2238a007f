"""The file of sample ids: a row a step, from every stream, in the batch's order."""

import json

import jax
import jax.numpy as jnp
import numpy as np

from tests.parallel.meshes import make_mesh
from vlp_jax.parallel.sharding import place_batch
from vlp_jax.training import sample_log
from vlp_jax.training.sample_log import SAMPLES_FILE, logging_samples


def batch(step: int, **streams: int) -> dict:
    """Streams of so many rows; the ids of step 3 are 300, 301, ..."""
    return {
        name: {"sample_id": np.arange(100 * step, 100 * step + rows, dtype=np.int32)}
        for name, rows in streams.items()
    }


def count(state, batch):
    return state + 1, {"rows": len(batch["pairs"]["sample_id"])}


def rows(folder) -> list[dict]:
    return [json.loads(x) for x in (folder / SAMPLES_FILE).read_text().splitlines()]


def test_a_row_has_the_ids_of_every_stream(tmp_path):
    step = logging_samples(count, tmp_path / "run", 0)
    assert step(5, batch(1, pairs=2, more=1)) == (6, {"rows": 2})
    assert rows(tmp_path / "run") == [{"step": 1, "pairs": [100, 101], "more": [100]}]
    step(6, batch(2, pairs=3))  # it is there before the next step
    assert rows(tmp_path / "run")[1:] == [{"step": 2, "pairs": [200, 201, 202]}]


def test_rows_of_steps_that_are_done_again_are_dropped(tmp_path):
    step = logging_samples(count, tmp_path, 0)
    for number in range(1, 6):
        step(0, batch(number, pairs=1))
    step = logging_samples(count, tmp_path, 3)
    for number in (40, 50):
        step(0, batch(number, pairs=1))
    assert [(row["step"], row["pairs"]) for row in rows(tmp_path)] == [
        *((1, [100]), (2, [200]), (3, [300])),
        *((4, [4000]), (5, [5000])),
    ]


def test_ids_that_lie_on_many_devices_keep_their_order(tmp_path):
    placed = place_batch(batch(1, pairs=16), make_mesh(2, 4, 1))
    assert len(placed["pairs"]["sample_id"].sharding.device_set) == 8
    logging_samples(count, tmp_path, 0)(0, placed)
    assert rows(tmp_path) == [{"step": 1, "pairs": [*range(100, 116)]}]


def test_a_silent_process_writes_nothing_but_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_log, "talks", lambda: False)
    step = logging_samples(count, tmp_path / "run", 0)
    state, metrics = step(jnp.int32(0), batch(1, pairs=2))
    assert (int(state), metrics) == (1, {"rows": 2})
    assert not (tmp_path / "run").exists() and jax.process_count() == 1

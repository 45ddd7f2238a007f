"""Results as clip_benchmark writes them, as lines that are added, and as a table."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from vlp_jax.core.errors import RunError
from vlp_jax.core.logs import whole_rows
from vlp_jax.core.types import Report
from vlp_jax.evaluation import results
from vlp_jax.evaluation.results import (
    HISTORY,
    append_result,
    as_clip_benchmark,
    table,
    write_results,
)

METRICS = {"acc1": np.float32(0.5), "acc5": float("nan")}
REPORT = Report("zeroshot_classification", "digit_scenes/test", METRICS)


def test_results_are_clip_benchmarks_json(tmp_path):
    found = as_clip_benchmark(REPORT, "vit_b16", "step 10")
    paths = write_results(tmp_path / "new", [found, found])
    assert [path.name for path in paths] == [
        "digit_scenes-test_zeroshot_classification.json",
        "digit_scenes-test_zeroshot_classification-2.json",
    ]
    assert json.loads(paths[0].read_text()) == {
        "dataset": "digit_scenes/test",
        "model": "vit_b16",
        "pretrained": "step 10",
        "task": "zeroshot_classification",
        "metrics": {"acc1": 0.5, "acc5": None},
        "language": "en",
    }
    assert len(list(paths[0].parent.iterdir())) == 2  # no temporary file stays
    assert table([REPORT]).row_count == 2


def rows(folder) -> list[dict]:
    return list(whole_rows(folder / HISTORY))


def test_lines_are_added(tmp_path):
    for step in range(3):
        append_result(tmp_path / "new", {"step": step})
    assert rows(tmp_path / "new") == [{"step": 0}, {"step": 1}, {"step": 2}]
    with pytest.raises(ValueError):
        append_result(tmp_path / "new", {"step": float("nan")})
    assert len(rows(tmp_path / "new")) == 3


def test_a_line_that_a_crash_tore_is_ended(tmp_path):
    append_result(tmp_path, {"step": 0})
    whole = (tmp_path / HISTORY).read_bytes()
    (tmp_path / HISTORY).write_bytes(whole + b'{"step": 1, "met')
    append_result(tmp_path, {"step": 2})
    assert rows(tmp_path) == [{"step": 0}, {"step": 2}]


def test_a_full_disk_changes_nothing(tmp_path, monkeypatch):
    """A first write may take what there is room for."""
    append_result(tmp_path, {"step": 0})
    before = (tmp_path / HISTORY).read_bytes()
    real = open

    class Full:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            return self.file.write(data[:3])

    monkeypatch.setattr(
        results,
        "open",
        lambda *given, **more: Full(real(*given, **more)),
        raising=False,
    )
    with pytest.raises(RunError, match=r"results.jsonl \(No space left on device\); m"):
        append_result(tmp_path, {"step": 1})
    monkeypatch.undo()
    assert (tmp_path / HISTORY).read_bytes() == before


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be added to .*Not a directory|exists"):
        append_result(tmp_path / "file" / "out", {"step": 1})


def test_several_processes_add_lines_at_once(tmp_path):
    code = (
        "import sys; from vlp_jax.evaluation.results import append_result\n"
        "for k in range(30): append_result(sys.argv[1], {'by': sys.argv[2], 'step': k})"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(who)],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
        )
        for who in range(2)
    ]
    assert [process.wait() for process in started] == [0, 0]
    found = rows(tmp_path)
    assert len(found) == 60 == len((tmp_path / HISTORY).read_text().splitlines())
    for who in ("0", "1"):
        assert [row["step"] for row in found if row["by"] == who] == list(range(30))

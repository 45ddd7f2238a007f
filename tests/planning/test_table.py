"""docs/scaling.md is made of kept plans without compiling them again."""

import json
from pathlib import Path

from vlp_jax.planning import table

GIB = 2**30


def plan(batch: int, fits: bool, largest: dict | None = None) -> dict:
    return {
        "name": "clip",
        "topology": "v5e:4x4",
        "batch_size": batch,
        "fits": fits,
        "shortfall": 0 if fits else 4 * GIB,
        "memory": {"peak": 12 * GIB, "available": 16 * GIB, "peak_is": "exact"},
        "roofline": {
            "step": 0.25,
            "limit": "HBM",
            "pairs_per_second": 4096.4,
            "utilisation": 0.5,
        },
        "collectives": [{"sent": 1e6}, {"sent": 2e6}],
        "at_largest_batch": largest,
    }


def keep(folder: Path, found: dict, end: str = "") -> None:
    (folder / f"clip_v5e_4x4{end}.json").write_text(json.dumps(found))


def test_a_plan_that_fits_is_one_row(tmp_path):
    keep(tmp_path, plan(1024, True))
    (found,) = table.rows(Path("clip.py"), "v5e:4x4", tmp_path)
    assert found.startswith("| clip | v5e:4x4 | 1,024 | yes | 12.0 of 16.0 |")
    assert found.endswith("| 250.0 (HBM) | 4,096 | 50% | 3 |")
    cells = table.HEADER.splitlines()[0].count("|")
    assert cells == table.row(plan(1024, True)).count("|")


def test_one_that_does_not_shows_the_largest_too(tmp_path):
    keep(tmp_path, plan(1024, False))
    keep(tmp_path, plan(1024, False, plan(512, True)), "_largest")
    first, second = table.rows(Path("clip.py"), "v5e:4x4", tmp_path)
    assert "no, 4.0 GiB short" in first and first.endswith("| - | - | - | - |")
    assert "| 512 | yes |" in second


def test_a_failure_is_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "plan", lambda *given: None)
    (found,) = table.rows(Path("clip.py"), "v5e:4x4", tmp_path)
    assert (
        "the plan failed" in found and found.count("|") == table.HEADER.count("|") // 2
    )

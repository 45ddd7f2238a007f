"""Results as clip_benchmark writes them, and as a table."""

import json

import numpy as np

from vlp_jax.core.types import Report
from vlp_jax.evaluation.results import table, write_results


def test_results_are_clip_benchmarks_json(tmp_path):
    metrics = {"acc1": np.float32(0.5), "acc5": float("nan")}
    report = Report("zeroshot_classification", "digit_scenes/test", metrics)
    paths = write_results(tmp_path / "new", [report, report], "vit_b16", "step 10")
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
    assert table([report]).row_count == 2

"""Writes what evaluators found: JSON as clip_benchmark writes it, and a table."""

import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from vlp_jax.core.pages import write_text
from vlp_jax.core.types import Report


def as_clip_benchmark(report: Report, model: str, pretrained: str) -> dict[str, Any]:
    """One result as clip_benchmark's `build` command reads it.

    A metric that is not defined (NaN) becomes null, which JSON knows and pandas reads
    back as NaN.
    """
    metrics = {
        name: float(value) if math.isfinite(value) else None
        for name, value in report.metrics.items()
    }
    return {
        "dataset": report.dataset,
        "model": model,
        "pretrained": pretrained,
        "task": report.task,
        "metrics": metrics,
        "language": "en",
    }


def write_results(
    folder: str | os.PathLike, reports: Sequence[Report], model: str, pretrained: str
) -> list[Path]:
    """One JSON file per report, `<dataset>_<task>.json`; numbered where names clash."""
    paths: list[Path] = []
    for report in reports:
        name = re.sub(r"[^\w.-]+", "-", f"{report.dataset}_{report.task}")
        path, copies = Path(folder) / f"{name}.json", 1
        while path in paths:
            copies += 1
            path = Path(folder) / f"{name}-{copies}.json"
        result = as_clip_benchmark(report, model, pretrained)
        write_text(path, json.dumps(result, indent=2, allow_nan=False) + "\n")
        paths.append(path)
    return paths


def table(reports: Sequence[Report]) -> Table:
    """The metrics of all reports, for the terminal."""
    result = Table()
    for heading in ("dataset", "task", "metric", "value"):
        right = heading == "value"
        result.add_column(
            heading, justify="right" if right else "left", overflow="fold"
        )
    for report in reports:
        for name, value in report.metrics.items():
            result.add_row(
                escape(report.dataset),
                report.task.removeprefix("zeroshot_"),
                name,
                f"{value:.4f}",
            )
        result.add_section()
    return result

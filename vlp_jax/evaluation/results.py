"""Writes what evaluators found: JSON as clip_benchmark writes it, and a table."""

import errno
import fcntl
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from vlp_jax.core.errors import RunError
from vlp_jax.core.pages import write_text
from vlp_jax.core.types import Report

HISTORY = "results.jsonl"  # of a folder: a line for every evaluator that ever ran there


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
    folder: str | os.PathLike, found: Sequence[dict[str, Any]]
) -> list[Path]:
    """A JSON file each, `<dataset>_<task>.json`; numbered where names clash.

    found: results in clip_benchmark's form.
    """
    paths: list[Path] = []
    for result in found:
        name = re.sub(r"[^\w.-]+", "-", f"{result['dataset']}_{result['task']}")
        path, copies = Path(folder) / f"{name}.json", 1
        while path in paths:
            copies += 1
            path = Path(folder) / f"{name}-{copies}.json"
        write_text(path, json.dumps(result, indent=2, allow_nan=False) + "\n")
        paths.append(path)
    return paths


def append_result(folder: str | os.PathLike, row: dict[str, Any]) -> None:
    """Adds a line to the folder's results.jsonl, the whole line or nothing.

    Several processes may do so at once. What a crash left of a line is ended, so that
    readers pass over it (core.logs.whole_rows). Raises RunError where it cannot be
    written, and the file is as it was.
    """
    path = Path(folder) / HISTORY
    line = json.dumps(row, allow_nan=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if file.read(1) not in (b"", b"\n"):
                line = b"\n" + line
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
    except OSError as error:
        raise RunError(
            f"results cannot be added to {path} ({error.strerror}); make room, or name "
            "another --output"
        ) from error


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
                f"{value:.4f}" if math.isfinite(value) else "–",
            )
        result.add_section()
    return result

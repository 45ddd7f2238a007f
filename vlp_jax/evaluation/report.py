"""One HTML file that shows what a model can do: numbers, curves and pictures.

The file needs nothing else: no network, no scripts, pictures inline. Every text goes
through the template's escaping, so captions and class names may hold anything.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlp_jax.core.pages import render, write_text
from vlp_jax.core.types import Report
from vlp_jax.evaluation import drawings
from vlp_jax.evaluation.charts import line_chart
from vlp_jax.evaluation.comparison import Comparison
from vlp_jax.evaluation.drawings import with_pictures
from vlp_jax.evaluation.metrics.classification import confusion_matrix, most_confused

ASSETS = Path(__file__).parent / "assets"
MATRIX_CLASSES = 40  # above it a confusion matrix is noise; the worst pairs are shown
PAIRS_SHOWN = 30
CLASSES_SHOWN = 100

TITLES = {
    "zeroshot_classification": "Zero-shot classification",
    "zeroshot_retrieval": "Zero-shot retrieval",
    "classification": "Classification",
    "knn": "Nearest neighbours",
    "linear_probe": "Linear probe",
    "image_caption_selection": "Captions nearly alike",
    "image_text_matching": "Image-text matching",
    "captioning": "Captioning",
    "vqa": "Question answering",
}


def write_report(
    path: str | os.PathLike,
    title: str,
    reports: Sequence[Report],
    curves: Mapping[str, Sequence[tuple[int, float]]],
    facts: Mapping[str, str],
    comparison: Comparison | None = None,
) -> None:
    """Writes the report whole or not at all.

    Args:
      path: the HTML file.
      reports: one section each. Tasks without a drawing of their own (DRAWINGS) show
        their metrics.
      curves: name -> (step, value) pairs; values that are not finite are left out.
      facts: what the reader should know first: checkpoint, step, sizes.
      comparison: results of several folders, as a table of its own.
    """
    charts = [line_chart(name, points) for name, points in curves.items()]
    page = render(
        ASSETS / "report.html",
        title=title,
        facts=facts,
        sections=[_section(report) for report in reports],
        charts=[chart for chart in charts if chart],
        comparison=_comparison(comparison) if comparison else None,
    )
    write_text(path, page)


def _section(report: Report) -> dict[str, Any]:
    draw = DRAWINGS.get(report.task, lambda details: {})
    return {
        "task": report.task,
        "title": TITLES.get(report.task, report.task),
        "dataset": report.dataset,
        "metrics": [_metric(name, v) for name, v in report.metrics.items()],
        "skipped": report.details.get("skipped", {}),
        **draw(report.details),
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    rows = [
        {
            "names": key,
            "values": [
                {"text": "–" if x is None else f"{x:.4f}", "best": n in found.best(key)}
                for n, x in enumerate(values)
            ],
        }
        for key, values in found.rows.items()
    ]
    return {"columns": found.columns, "rows": rows}


def _metric(name: str, value: float) -> dict[str, Any]:
    """A metric with the length of its bar; None where it is no share of a whole."""
    if not math.isfinite(value):
        return {"name": name, "text": "–", "share": None}
    share = value if 0 <= value <= 1 else None
    return {"name": name, "text": f"{value:.3f}", "share": share}


def _draw_classification(details: Mapping[str, Any]) -> dict[str, Any]:
    if "average_precision" in details:
        return _draw_multi_label(details)
    names = details["class_names"]
    truth, guess = details["truth"], details["guess"]
    drawing: dict[str, Any] = {
        "size": f"{details['samples']:,} images, {len(names):,} classes",
        "failures": with_pictures(details.get("failures", ())),
        "names": names,
        "matrix": None,
        "pairs": None,
        "classes": None,
    }
    if len(names) <= MATRIX_CLASSES:
        drawing["matrix"] = _matrix(confusion_matrix(guess, truth, len(names)))
        return drawing
    seen = np.bincount(truth, minlength=len(names))
    drawing["pairs"] = [
        {"truth": names[t], "guess": names[g], "count": count, "of": int(seen[t])}
        for t, g, count in most_confused(guess, truth, PAIRS_SHOWN)
    ]
    return drawing


def _draw_multi_label(details: Mapping[str, Any]) -> dict[str, Any]:
    names, found = details["class_names"], details["average_precision"]
    order = np.argsort(found, kind="stable")[: np.isfinite(found).sum()]  # NaN is last
    worst = [
        {"name": names[k], "count": int(details["positives"][k]), "value": found[k]}
        for k in order[:CLASSES_SHOWN]
    ]
    size = f"{details['samples']:,} images, {len(names):,} classes"
    empty = {"matrix": None, "pairs": None, "failures": []}
    return {"size": size, "names": names, "classes": worst, **empty}


def _matrix(counts: np.ndarray) -> list[list[dict[str, Any]]]:
    """Cells with their count and their share of the row, i.e. of the true class."""
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    return [
        [
            {"count": int(count), "share": round(float(share), 3)}
            for count, share in zip(row, row_shares, strict=True)
        ]
        for row, row_shares in zip(counts, shares, strict=True)
    ]


# A task's details -> what report.html draws of them, besides metrics.
DRAWINGS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "zeroshot_classification": _draw_classification,
    "classification": _draw_classification,
    "zeroshot_retrieval": drawings.retrieval,
    "image_text_matching": drawings.matching,
    "captioning": drawings.captioning,
    "vqa": drawings.answering,
}

"""Results of several folders side by side: ours, and clip_benchmark's own."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from vlp_jax.core.errors import ConfigError

Key = tuple[str, str, str]  # dataset, task, metric
NO_SCORE = ("l2", "_std")  # ends of the metrics of which more is not better


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Values of every metric for every column; None where there is none.

    columns: what was evaluated. rows: the values in the order of the columns.
    """

    columns: tuple[str, ...]
    rows: dict[Key, list[float | None]]

    def best(self, key: Key) -> set[int]:
        """The columns of the highest value; none where all values are the same.

        None either of what a linear probe tells beside its scores.
        """
        if key[2].endswith(NO_SCORE):
            return set()
        values = self.rows[key]
        known = {x for x in values if x is not None}
        highest = max(known) if len(known) > 1 else None
        return {n for n, x in enumerate(values) if x is not None and x == highest}


def compare(folders: Sequence[str | os.PathLike]) -> Comparison:
    """What the *.json files in the folders say, in clip_benchmark's form.

    A folder is a column; one with results of several checkpoints has one for each.
    Raises ConfigError for a folder without a result.
    """
    found: dict[tuple[str, str, str], dict[Key, float | None]] = {}
    for folder in folders:
        results = read_results(folder)
        if not results:
            raise ConfigError(
                f"no results in {str(folder)!r}: no .json file there has a dataset, a "
                "task and metrics; name the --output of an evaluation"
            )
        for result in results:
            owner = (str(folder), str(result["model"]), str(result["pretrained"]))
            values = found.setdefault(owner, {})
            for metric, value in result["metrics"].items():
                values[result["dataset"], result["task"], metric] = value
    keys = dict.fromkeys(key for values in found.values() for key in values)
    order = sorted(keys, key=lambda key: key[:2])  # metrics stay in their order
    rows = {key: [values.get(key) for values in found.values()] for key in order}
    return Comparison(_names(list(found)), rows)


def read_results(folder: str | os.PathLike) -> list[dict[str, Any]]:
    """The results in a folder; other files are passed over."""
    found = []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(result, dict) and isinstance(result.get("metrics"), dict):
            if {"dataset", "task", "model", "pretrained"} <= result.keys():
                found.append(result)
    return found


def _names(owners: list[tuple[str, str, str]]) -> tuple[str, ...]:
    """What tells the folders apart; model and step where one has several columns."""
    folders = [folder for folder, _, _ in owners]
    short = _without_common(list(dict.fromkeys(folders)))
    return tuple(
        short[folder]
        if folders.count(folder) == 1
        else f"{short[folder]}: {model} {pretrained.rpartition('/')[2]}"
        for folder, model, pretrained in owners
    )


def _without_common(folders: list[str]) -> dict[str, str]:
    """'runs/a/eval' and 'runs/b/eval' become 'a' and 'b'."""
    if len(folders) == 1:
        return {folders[0]: folders[0]}
    parts = [Path(folder).parts for folder in folders]
    start = len(os.path.commonprefix(parts))
    ends = [x[start:][::-1] for x in parts]
    end = len(os.path.commonprefix(ends))
    names = ["/".join(x[start : len(x) - end]) for x in parts]
    return dict(zip(folders, names if all(names) else folders, strict=True))


def comparison_table(found: Comparison) -> Table:
    """For the terminal; the best of each row is marked."""
    table = Table()
    for heading in ("dataset", "task", "metric"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "metric")
    for name in found.columns:
        name = escape(name)
        table.add_column(name, justify="right", overflow="fold", min_width=8)
    last = None
    for key, values in found.rows.items():
        dataset, task, metric = key
        if last == key[:2]:
            dataset = task = ""  # said once
        elif last is not None:
            table.add_section()
        last, best = key[:2], found.best(key)
        cells = [
            "–" if value is None else f"{value:.4f}" + (" *" if n in best else "  ")
            for n, value in enumerate(values)
        ]
        task = task.removeprefix("zeroshot_")
        table.add_row(escape(dataset), escape(task), escape(metric), *cells)
    return table

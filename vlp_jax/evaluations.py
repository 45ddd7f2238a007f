"""Evaluators on checkpoints, and what they leave in a folder."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from vlp_jax import build
from vlp_jax.checkpoint.manifest import MANIFEST
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.logs import console, read_rows, say, size_of, talks, whole_rows
from vlp_jax.core.types import Report
from vlp_jax.data.fingerprint import digest
from vlp_jax.evaluation import charts, report, results
from vlp_jax.evaluation.comparison import Comparison, compare
from vlp_jax.suites import expanded
from vlp_jax.trained import LoadedCheckpoint

# In a line, beside clip_benchmark's form.
OURS = ("step", "evaluator", "settings", "weights")


class Evaluation:
    """The evaluators of a config, and the folder that their results go to.

    Args:
      settings: of an evaluation.
      output: the folder. It gets <dataset>_<task>.json of the newest checkpoint,
        results.jsonl with all that were ever found there, and report.html.
      others: folders whose results the report shows beside these.

    Raises ConfigError where there is nothing to evaluate or nothing to compare with.
    """

    def __init__(self, settings: ConfigDict, output: str, others: tuple[str, ...] = ()):
        self.settings, self.output, self.others = settings, Path(output), others
        if others:
            compare(others)
        config = expanded(settings)
        self.evaluators = build.make_evaluators(config)
        # What an evaluator is told: with other settings it is to be run again.
        self.digests = {label: _digest(config, label) for label in self.evaluators}
        if not self.evaluators:
            raise ConfigError(
                "nothing to evaluate: the recipe of this checkpoint names no "
                "evaluators; give --config=configs/evaluate/image_folder.py "
                "--config.data.root=DIR"
            )

    def history(self) -> list[dict[str, Any]]:
        """The lines of results.jsonl: what was found in this folder before."""
        rows = whole_rows(self.output / results.HISTORY)
        return [row for row in rows if isinstance(row.get("evaluator"), str)]

    def done(self) -> dict[str, set[str]]:
        """{weights_digest: evaluators with a result for it by the settings of now}."""
        found: dict[str, set[str]] = {}
        for row in filter(self._of_now, self.history()):
            found.setdefault(str(row.get("weights")), set()).add(row["evaluator"])
        return found

    def _of_now(self, row: dict[str, Any]) -> bool:
        """Whether an evaluator of now has found this, with its settings of now."""
        settings = self.digests.get(row["evaluator"])
        return settings is not None and row.get("settings") == settings

    def run(
        self, loaded: LoadedCheckpoint, done: Collection[str] = (), go_on: bool = False
    ) -> None:
        """Runs the evaluators on a checkpoint, and keeps what each found at once.

        Those in `done` have a line in results.jsonl for it, which stands. With
        `go_on` one that fails is noted there and left out; else its RunError is raised.
        """
        name = loaded.config.name or "vlp_jax"
        say(f"vlp_jax.evaluate  {loaded.path}", style="bold")
        say(f"  model     {name}, {loaded.parameters:,} parameters, step {loaded.step}")
        reports, weights = [], weights_digest(loaded.path)
        for label, evaluator in self.evaluators.items():
            if label in done:
                continue
            say(f"  running   {label} on {size_of(evaluator.source)}")
            row = {"step": loaded.step, "evaluator": label}
            row |= {"settings": self.digests[label], "weights": weights}
            try:
                found = evaluator.run(loaded.predictor)
            except RunError as error:
                if not go_on:
                    raise
                say(f"  {label} failed and is left out: {error}", style="yellow")
                self._append(row | {"error": str(error)})
                continue
            reports.append(found)
            result = results.as_clip_benchmark(found, name, str(loaded.path))
            self._append(row | result)
        if reports:
            self._finish(loaded, name, reports)

    def _append(self, row: dict[str, Any]) -> None:
        if talks():  # process 0 writes
            results.append_result(self.output, row)

    def _finish(
        self, loaded: LoadedCheckpoint, name: str, reports: list[Report]
    ) -> None:
        """The table, the JSON files and the page."""
        console.print(results.table(reports))
        for found in reports:
            skipped = found.details.get("skipped")
            if skipped:
                say(f"  skipped in {found.dataset}: {dict(skipped)}")
        if not talks():
            return
        history = self.history()
        newest = self._newest(history, weights_digest(loaded.path))
        paths = results.write_results(self.output, newest)
        facts = {
            "checkpoint": str(loaded.path),
            "step": f"{loaded.step:,}",
            "parameters": f"{loaded.parameters:,}",
            "weights": self.settings.weights,
        }
        trained_rows = read_rows(loaded.workdir) if loaded.workdir else []
        curves = charts.series(trained_rows) | charts.series(
            step_rows([row for row in history if _beside(row, loaded.path)])
        )
        title = f"{name}, step {loaded.step}"
        beside = self._comparison()
        report.write_report(self.page, title, reports, curves, facts, beside)
        say(f"Results: {', '.join(str(path) for path in paths)}")

    def _newest(self, history: list[dict], weights: str) -> list[dict[str, Any]]:
        """What each evaluator found last for a model, in clip_benchmark's form."""
        found = {
            row["evaluator"]: {k: row[k] for k in row if k not in OURS}
            for row in filter(self._of_now, history)
            if row.get("weights") == weights and "metrics" in row
        }
        return [found[label] for label in self.evaluators if label in found]

    def _comparison(self) -> Comparison | None:
        return compare((str(self.output), *self.others)) if self.others else None

    @property
    def page(self) -> Path:
        """The HTML report."""
        return self.output / "report.html"


def weights_digest(path: Path | str) -> str:
    """Tells the weights at LoadedCheckpoint.path from others.

    By the checksums of a step's files: a run that is trained anew in the same folder
    has others. A foreign model has none, and is known by its name.
    """
    try:
        return digest((Path(path) / MANIFEST).read_bytes())
    except OSError:
        return digest(str(path))


def _beside(row: dict[str, Any], path: Path | str) -> bool:
    """Whether a line is of a step of the same run."""
    return Path(str(row.get("pretrained"))).parent == Path(path).parent


def _digest(config: ConfigDict, label: str) -> str:
    """Of all that the config says to one evaluator."""
    block = config.evaluators[label]
    data = block.data if block.data.kind is not None else config.data
    told = build.settings(block) | build.settings(data, "data.")
    return digest(repr(sorted(told.items(), key=lambda x: x[0])), config.weights)


def step_rows(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Metrics by step, named evaluator/metric, of more steps than one.

    Of a step that was evaluated several times the last result counts.
    """
    rows: dict[int, dict[str, Any]] = {}
    for line in history:
        row = rows.setdefault(line["step"], {"step": line["step"]})
        metrics = line.get("metrics", {})
        row |= {f"{line['evaluator']}/{name}": x for name, x in metrics.items()}
    return sorted(rows.values(), key=lambda row: row["step"]) if len(rows) > 1 else []

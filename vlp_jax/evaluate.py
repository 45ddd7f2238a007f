"""Evaluates a checkpoint: metrics on the terminal, JSON files and an HTML report.

python -m vlp_jax.evaluate --checkpoint=runs/quickstart --output=runs/quickstart/eval
Without --config it runs the evaluation that the checkpoint was trained with.
"""

from pathlib import Path

from absl import flags

from vlp_jax import cli
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.logs import console, read_rows, say, size_of, talks

flags.DEFINE_string("checkpoint", None, "A training workdir or a step folder.")
flags.DEFINE_string("output", None, "Folder for the results.")
cli.define_config("The evaluation, such as configs/evaluate/image_folder.py.")


def main() -> None:
    config = cli.get_config("evaluators", "configs/evaluate/image_folder.py")
    checkpoint, output = flags.FLAGS.checkpoint, flags.FLAGS.output
    if checkpoint is None or output is None:
        raise ConfigError(
            "evaluate needs a checkpoint and a folder: --checkpoint=runs/quickstart "
            "--output=runs/quickstart/eval"
        )
    from vlp_jax import build, suites, trained
    from vlp_jax.evaluation import charts, report, results

    settings = config or trained.checkpoint_config(checkpoint).evaluation
    evaluators = build.make_evaluators(suites.expanded(settings))
    if not evaluators:
        raise ConfigError(
            "nothing to evaluate: the recipe of this checkpoint names no evaluators; "
            "give --config=configs/evaluate/image_folder.py --config.data.root=DIR"
        )
    loaded = trained.load_checkpoint(checkpoint, settings.batch_size, settings.weights)
    cli.prepare_output(output)
    name = loaded.config.name or "vlp_jax"
    say(f"vlp_jax.evaluate  {loaded.path}", style="bold")
    say(f"  model     {name}, {loaded.parameters:,} parameters, step {loaded.step}")
    reports = []
    for label, evaluator in evaluators.items():
        say(f"  running   {label} on {size_of(evaluator.source)}")
        reports.append(evaluator.run(loaded.predictor))
    console.print(results.table(reports))
    for found in reports:
        skipped = found.details.get("skipped")
        if skipped:
            say(f"  skipped in {found.dataset}: {dict(skipped)}")
    if not talks():  # process 0 writes
        return
    paths = results.write_results(output, reports, name, str(loaded.path))
    page = Path(output) / "report.html"
    facts = {
        "checkpoint": str(loaded.path),
        "step": f"{loaded.step:,}",
        "parameters": f"{loaded.parameters:,}",
        "weights": settings.weights,
    }
    history = charts.series(read_rows(loaded.path.parents[1]))
    report.write_report(page, f"{name}, step {loaded.step}", reports, history, facts)
    say(f"Results: {', '.join(str(path) for path in paths)}")
    say(f"Next: open {page} in a browser", style="bold")


if __name__ == "__main__":
    cli.run(main, on_hosts=True)

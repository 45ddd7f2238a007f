"""Evaluates a checkpoint: metrics on the terminal, JSON files and an HTML report.

python -m vlp_jax.evaluate --checkpoint=runs/quickstart --output=runs/quickstart/eval
Without --config it runs the evaluation that the checkpoint was trained with.
"""

from absl import flags

from vlp_jax import cli
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.logs import console, say, talks

flags.DEFINE_string("checkpoint", None, "A training workdir or a step folder.")
flags.DEFINE_string("output", None, "Folder for the results.")
flags.DEFINE_bool("follow", False, "Beside a training: every step that it keeps, once.")
flags.DEFINE_list("compare", [], "Folders of results, to show side by side.")
cli.define_config("The evaluation, such as configs/evaluate/image_folder.py.")


def main() -> None:
    config = cli.get_config("evaluators", "configs/evaluate/image_folder.py")
    checkpoint, output = flags.FLAGS.checkpoint, flags.FLAGS.output
    others = tuple(flags.FLAGS.compare)
    if checkpoint is None and others:
        compare(others, output)
        return
    if checkpoint is None or output is None:
        raise ConfigError(
            "evaluate needs a checkpoint and a folder: --checkpoint=runs/quickstart "
            "--output=runs/quickstart/eval"
        )
    from vlp_jax import evaluations, following, trained

    if flags.FLAGS.follow:
        cli.prepare_output(output)
        evaluation = following.Follower(checkpoint, config, output, others).run()
        say(f"All steps are evaluated. Next: open {evaluation.page}", style="bold")
        return
    settings = config or trained.checkpoint_config(checkpoint).evaluation
    evaluation = evaluations.Evaluation(settings, output, others)
    loaded = trained.load_checkpoint(checkpoint, settings.batch_size, settings.weights)
    cli.prepare_output(output)
    evaluation.run(loaded)
    say(f"Next: open {evaluation.page} in a browser", style="bold")


def compare(folders: tuple[str, ...], output: str | None) -> None:
    """The results of several folders in one table; with an output as a page, too."""
    from vlp_jax.evaluation import comparison, report

    found = comparison.compare(folders)
    console.print(comparison.comparison_table(found))
    if output is not None and talks():
        cli.prepare_output(output)
        page = f"{output}/comparison.html"
        facts = {"folders": ", ".join(folders)}
        report.write_report(page, "Comparison", (), {}, facts, found)
        say(f"Next: open {page} in a browser", style="bold")


if __name__ == "__main__":
    cli.run(main, on_hosts=True)

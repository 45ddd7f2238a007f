"""Evaluates a checkpoint: metrics on the terminal, JSON files and an HTML report.

python -m vlp_jax.evaluate --checkpoint=runs/quickstart --output=runs/quickstart/eval
Without --config it runs the evaluation that the checkpoint was trained with.
A foreign model is named by its format, as for port: hf:DIR, hf:ORG/NAME, open_clip:DIR
or big_vision:FILE.npz. It brings its own preprocessing and tokenizer.
"""

from absl import flags

from vlp_jax import cli
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.logs import console, say, talks

flags.DEFINE_string("checkpoint", None, "A training workdir, a step, or FORMAT:DIR.")
flags.DEFINE_string("tokenizer", None, "Its folder or name, if the model has none.")
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
    from vlp_jax import endpoints, evaluations, following, trained

    kind, path = endpoints.split(checkpoint, "vlp")
    if kind != "vlp" and flags.FLAGS.follow:
        raise ConfigError(
            f"--follow waits for the steps of a run, and {checkpoint} is one model; "
            "leave out --follow"
        )
    if kind != "vlp" and config is None:
        raise ConfigError(
            f"{checkpoint} has no evaluation of its own; name one, such as "
            "--config=configs/evaluate/image_folder.py --config.data.root=DIR"
        )
    if flags.FLAGS.follow:
        cli.prepare_output(output)
        evaluation = following.Follower(path, config, output, others).run()
        say(f"All steps are evaluated. Next: open {evaluation.page}", style="bold")
        return
    settings = config or trained.checkpoint_config(path).evaluation
    evaluation = evaluations.Evaluation(settings, output, others)
    options = settings.batch_size, settings.weights, flags.FLAGS.tokenizer
    loaded = endpoints.load(checkpoint, *options)
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

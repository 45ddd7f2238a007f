"""Looks at data before anything is trained: what is in them, and what is broken.

python -m vlp_jax.data_check --config=configs/quickstart.py --output=DIR [--samples=N]
Takes a training recipe, or a config of a dataset alone; writes DIR/contact_sheet.html.
"""

from pathlib import Path

from absl import flags

from vlp_jax import cli
from vlp_jax.core.errors import ConfigError, RunError, check_range
from vlp_jax.core.logs import say, size_of, track

flags.DEFINE_string("output", None, "Folder for data.json and contact_sheet.html.")
flags.DEFINE_integer("samples", None, "Look at so many, evenly spread (default: all).")
flags.DEFINE_integer("threads", 4, "Threads that read and decode.")
cli.define_config("A training recipe, or a dataset, such as configs/quickstart.py.")


def main() -> None:
    config = cli.get_config("data", "configs/quickstart.py")
    output, samples, threads = (
        flags.FLAGS[name].value for name in ("output", "samples", "threads")
    )
    if config is None:
        raise ConfigError("data_check needs data: --config=configs/quickstart.py")
    check_range("--samples", samples, 1)
    check_range("--threads", threads, 1)
    if output is not None:
        cli.prepare_output(output)
    say(f"vlp_jax.data_check  {cli.config_file()}", style="bold")
    from vlp_jax import streams
    from vlp_jax.data import check, contact_sheet

    sources, as_trained, count_tokens = streams.open_data(config)
    surveys = {}
    for name, source in sources.items():
        say(f"  {name:9} {source.name}, {size_of(source)}")
        indices = check.spread(len(source), samples)
        found = check.walk(source, indices, threads, count_tokens)
        found = track(found, len(indices), "samples looked at")
        surveys[name] = check.Survey(source).add_all(found)
        for line in contact_sheet.lines(surveys[name]):
            say(f"    {line}")
    workers = config.data.workers if "objectives" in config else 0
    facts = {"loader alone": check.loader_speed(as_trained, threads, workers)}
    say(f"  loader    {facts['loader alone']}")
    if output is not None:
        title = f"Data of {cli.config_file()}"
        data, page = contact_sheet.write_sheet(Path(output), title, surveys, facts)
        say(f"Results: {data}")
    if not any(survey.good for survey in surveys.values()):
        raise RunError("not one sample can be used; the causes are above")
    if output is not None:
        say(f"Next: open {page} in a browser", style="bold")
    else:
        say("Next: the same command with --output=DIR, for a page with samples")


if __name__ == "__main__":
    cli.run(main)

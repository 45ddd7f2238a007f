"""Turns any data into tar shards with an index, which every run can share.

python -m vlp_jax.prepare --config=configs/data/parquet.py --config.data.urls=DIR \\
    --output=SHARDS
Broken samples are left out and counted. The same command goes on after a stop.
"""

from absl import flags

from vlp_jax import cli
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.logs import say, size_of

flags.DEFINE_string("output", None, "Folder for the shards.")
flags.DEFINE_integer("shard_size", 10_000, "Samples of a shard.")
flags.DEFINE_integer("workers", 4, "Shards that are written at a time.")
flags.DEFINE_bool("check", True, "Decode every picture, to leave out broken ones.")
cli.define_config("The data, such as configs/data/parquet.py, or a training recipe.")


def main() -> None:
    config = cli.get_config("data", "configs/data/webdataset.py")
    arguments = flags.FLAGS
    if config is None or arguments.output is None:
        raise ConfigError(
            "prepare needs data and a folder: --config=configs/data/parquet.py "
            "--config.data.urls=DIR --output=SHARDS"
        )
    from vlp_jax import streams
    from vlp_jax.data.shards.writer import SUMMARY, ShardWriter

    source, settings = streams.open_one(config, "prepare")
    say(f"vlp_jax.prepare  {source.name}", style="bold")
    say(f"  data      {size_of(source)}")
    writer = ShardWriter(
        source,
        arguments.output,
        arguments.shard_size,
        arguments.workers,
        arguments.check,
        settings,
    )
    say(f"  shards    {writer.shards}")
    total = writer.run()
    say(f"  written   {total.samples:,} samples")
    for line in total.lines():
        say(f"  left out  {line}")
    if total.bad:
        say(f"  see       {arguments.output}/{SUMMARY}")
    if not total.samples:
        raise ConfigError(f"no sample of {source.name} can be used; see above")
    say("Next: train on them")
    say(
        "  python -m vlp_jax.train --config=configs/quickstart.py --workdir=W "
        "--config.data.train.kind=webdataset "
        f"--config.data.train.urls={arguments.output}",
        style="bold",
    )


if __name__ == "__main__":
    cli.run(main)

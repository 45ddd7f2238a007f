"""Writes the embeddings of a dataset to files that NumPy, Arrow or TFDS read.

python -m vlp_jax.extract --checkpoint=runs/quickstart \\
    --config=configs/data/digit_scenes.py --output=features/scenes [--format=parquet]
Broken samples are left out and counted. The same command goes on after a stop.
"""

import os

from absl import flags

from vlp_jax import cli
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.logs import say, size_of
from vlp_jax.parallel import hosts

flags.DEFINE_string("checkpoint", None, "A training workdir, a step, or FORMAT:DIR.")
flags.DEFINE_string("weights", "model", "Or 'ema', where the run keeps an average.")
flags.DEFINE_string("tokenizer", None, "Its folder or name, if the model has none.")
flags.DEFINE_string("output", None, "Folder for the features.")
flags.DEFINE_string("format", "npz", "Of the files: npz, parquet or array_record.")
flags.DEFINE_integer("shard_size", 8192, "Samples of a file.")
flags.DEFINE_bool("texts", True, "Embed the captions, too.")
flags.DEFINE_integer("batch_size", 256, "Pictures of one call, on each device.")
flags.DEFINE_integer("threads", 4, "Threads that read and decode.")
flags.DEFINE_float("max_bad_share", 0.1, "Of broken samples, beyond which it ends.")
cli.define_config("The data, such as configs/data/digit_scenes.py, or a recipe.")


def main() -> None:
    config = cli.get_config("data", "configs/data/digit_scenes.py")
    given = flags.FLAGS
    if None in (config, given.checkpoint, given.output):
        raise ConfigError(
            "extract needs a model, data and a folder: --checkpoint=runs/quickstart "
            "--config=configs/data/digit_scenes.py --output=features/scenes"
        )
    if hosts.arguments(os.environ) is not None:
        raise ConfigError(
            "extract works on the devices of one machine, and is started here as one "
            "of several processes; start it once"
        )
    import jax

    from vlp_jax import endpoints, streams
    from vlp_jax.features.extraction import Extraction, Settings

    names = ("format", "shard_size", "texts", "threads", "max_bad_share")
    settings = Settings(**{name: given[name].value for name in names})
    source, told = streams.open_one(config, "extract")
    batch_size = given.batch_size * jax.device_count()  # each computes the same shapes
    options = batch_size, given.weights, given.tokenizer
    loaded = endpoints.load(given.checkpoint, *options)
    told |= {"tokenizer": given.tokenizer}
    extraction = Extraction(source, loaded, given.output, settings, told)
    devices = loaded.predictor.mesh.size
    say(f"vlp_jax.extract  {loaded.path}", style="bold")
    say(f"  data      {source.name}, {size_of(source)}")
    say(f"  model     {loaded.parameters:,} parameters, step {loaded.step}")
    say(f"  devices   {devices:,}, {loaded.predictor.batch_size:,} pictures a batch")
    say(f"  shards    {extraction.shards}")
    if extraction.finished:
        say(f"  finished  nothing to do: {given.output} holds all features")
    else:
        total = extraction.run()
        say(f"  written   {total.samples:,} samples, {extraction.speed()}")
        for line in total.lines():
            say(f"  left out  {line}")
    say("Next: read them (docs/features.md shows it in NumPy, Arrow and scikit-learn)")
    show = f"{{k: x.shape for k, x in read({str(given.output)!r}).items()}}"
    command = f"from vlp_jax.features import read; print({show})"
    say(f'  python -c "{command}"', style="bold")


if __name__ == "__main__":
    cli.run(main)

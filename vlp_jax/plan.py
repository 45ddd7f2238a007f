"""Says whether a run fits a TPU slice, and how fast it could be; needs no TPU.

python -m vlp_jax.plan --config=configs/pretrain/clip_vit_b32.py --topology=v5e:16x16
"""

import json

from absl import flags

from vlp_jax import cli
from vlp_jax.core.errors import ConfigError

flags.DEFINE_string("topology", None, "The slice, such as v5e:16x16 or v5p:8x8x8.")
flags.DEFINE_bool("find_batch", False, "Look for the largest batch that fits.")
flags.DEFINE_float("hbm_gib", None, "Plan for this much memory a device, in GiB.")
flags.DEFINE_bool("json", False, "Print one JSON object instead of lines.")
cli.define_config("The recipe, such as configs/pretrain/clip_vit_b32.py.")


def main() -> None:
    config = cli.get_config("objectives", "configs/pretrain/clip_vit_b32.py")
    arguments = flags.FLAGS
    if config is None or arguments.topology is None:
        raise ConfigError(
            "plan needs a recipe and a slice: "
            "--config=configs/pretrain/clip_vit_b32.py --topology=v5e:16x16"
        )
    from vlp_jax.planning import planner, topologies

    topology = topologies.parse(arguments.topology, arguments.hbm_gib)
    planner.prepare_environment(topology)
    from vlp_jax.core.logs import errors, say

    def tell(text: str) -> None:
        if arguments.json:  # standard output is the JSON alone
            errors.print(text, markup=False)
        else:
            say(f"  {text}")

    tell(f"vlp_jax.plan  {config.name or cli.config_file()} on {topology.name}")
    if not planner.has_libtpu():
        tell(f"note: {planner.NO_LIBTPU}")
    report = planner.make_plan(config, topology, arguments.find_batch, tell)
    if arguments.json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        for line in report.lines():
            say(line)
        if report.at_largest:
            say(f"With {report.largest_batch:,} pairs, the largest batch that fits:")
            for line in report.at_largest.lines():
                say(line)
    said = planner.verdict(report)
    if not report.fits:
        raise ConfigError(said)
    tell(said)
    if not arguments.json:
        say("Next: run it there")
        say(
            f"  python -m vlp_jax.train --config={cli.config_file()} --workdir=DIR",
            style="bold",
        )


if __name__ == "__main__":
    cli.run(main)

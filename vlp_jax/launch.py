"""Launches a run: on this machine, on a cluster or in a cloud.

python -m vlp_jax.launch --spec=launch/local.py --print
python -m vlp_jax.launch --spec=launch/slurm.py --submit --spec.nodes=4 -- \\
    python -m vlp_jax.train --config=configs/quickstart.py --workdir=runs/quickstart
What follows `--` is the command, in place of the spec's own.
"""

import shlex
import sys

from absl import flags

from vlp_jax import cli
from vlp_jax.core.errors import ConfigError
from vlp_jax.launching import Job, make_job
from vlp_jax.launching.spec import defaults

flags.DEFINE_bool("print", False, "Shows the file or command, and does nothing else.")
flags.DEFINE_bool("submit", False, "Hands it to the engine's own tool, or runs it.")
cli.define_config("Where and how, such as launch/slurm.py.", "spec")

EXAMPLE = "launch/local.py"
TO_CHANGE = "CHANGE_ME"  # stands in the specs for what only the user can know


def read_job(words: list[str]) -> Job:
    """The job of --spec, with the words after `--` as its command."""
    spec = cli.get_config("engine", EXAMPLE, "spec", defaults)
    if spec is None or flags.FLAGS.print == flags.FLAGS.submit:
        raise ConfigError(
            f"launch needs a spec and one of --print and --submit: --spec={EXAMPLE} "
            "--print"
        )
    if words:
        spec.command = shlex.join(words)
    for key, value in spec.items():
        if flags.FLAGS.submit and value == TO_CHANGE:
            raise ConfigError(f"{key} is not given; say --spec.{key}=...")
    return make_job(spec.to_dict())


def main(words: list[str]) -> None:
    job = read_job(words)
    text = job.text  # whatever is wrong with the settings is said before anything runs
    if flags.FLAGS.print:
        print(text, end="")
        return
    print(f"vlp_jax.launch  {cli.config_file('spec')}: {shlex.join(job.command)}")
    sys.stdout.flush()
    code = job.submit()
    if code == 0 and job.follow:
        print(f"Next: see how it is doing\n  {job.follow}")
    sys.exit(code)


if __name__ == "__main__":
    words = cli.take_command()
    cli.run(lambda: main(words))

"""Trains a model. The same command goes on from the newest checkpoint.

python -m vlp_jax.train --config=configs/quickstart.py --workdir=runs/quickstart
"""

from absl import flags

from vlp_jax import cli
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.logs import say

flags.DEFINE_string("workdir", None, "Folder of checkpoints and metrics.")
flags.DEFINE_bool("strict", False, "End where the newest checkpoint is damaged.")
flags.DEFINE_bool(
    "accept_changes", False, "Go on with a changed model, schedule, data, ..."
)
cli.define_config("The recipe, such as configs/quickstart.py.")


def main() -> None:
    config = cli.get_config("objectives", "configs/quickstart.py")
    workdir = flags.FLAGS.workdir
    if config is None or workdir is None:
        raise ConfigError(
            "train needs a recipe and a folder: --config=configs/quickstart.py "
            "--workdir=runs/quickstart"
        )
    from vlp_jax.checkpoint.lock import Lock
    from vlp_jax.training.signals import Preemption

    preemption = Preemption()
    with Lock(workdir):
        _train(config, workdir, preemption)


def _train(config, workdir: str, preemption) -> None:
    import jax

    from vlp_jax.runs import TrainingRun

    run = TrainingRun(config, workdir, flags.FLAGS.strict, flags.FLAGS.accept_changes)
    say(f"vlp_jax.train  {config.name or cli.config_file()}", style="bold")
    mesh = ", ".join(f"{axis} {size}" for axis, size in run.mesh.shape.items())
    hosts = f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    kind = jax.devices()[0].device_kind
    say(f"  devices   {jax.device_count()} x {kind}{hosts} ({mesh})")
    for line in run.streams.lines(run.learner.objective.streams):
        say(f"  data      {line}")
    tokenizer = run.tokenizer
    say(f"  text      {tokenizer.vocab_size:,} tokens, length {tokenizer.length}")
    plan = run.plan
    if run.answers:
        say(f"  answers   {len(run.answers):,} of them are classes")
    for name, how in run.learner.objective.describe(plan.rows).items():
        say(f"  loss      {name}: {how}")
    steps = run.streams.steps(plan.last_step)
    say(f"  plan      {steps}, saved every {plan.save_every:,}")
    state = run.start()
    trains = f", of which {trees.count(state.params):,} train" if state.frozen else ""
    say(f"  model     {run.parameters(state):,} parameters{trains}")
    held, whole = (size / 1e6 for size in run.bytes_per_device(state))
    say(f"  state     {held:,.1f} MB on each device, of {whole:,.1f} MB in all")
    if run.first_step:
        say(f"  going on from step {run.first_step} of {workdir}")
        for change in run.changes:
            say(f"  changed   {change}")
    if run.first_step >= plan.last_step:
        say("This run is already finished.")
    else:
        run.finish(state, preemption.begin())
        say(f"Done: step {plan.last_step} is saved in {workdir}/checkpoints.")
    say("Next: evaluate it and open the report")
    command = ["python -m vlp_jax.evaluate", f"--checkpoint={workdir}"]
    command.append(f"--output={workdir}/eval")
    if not run.evaluators:  # the recipe leaves the choice to the user
        command.append("--config=configs/evaluate/image_folder.py")
        command.append("--config.data.root=DIR")
    say("  " + " ".join(command), style="bold")


if __name__ == "__main__":
    cli.run(main, on_hosts=True)

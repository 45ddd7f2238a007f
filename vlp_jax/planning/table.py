"""docs/scaling.md: every pretraining config on three slices, by one command.

python -m vlp_jax.planning.table

A compilation takes minutes and the whole table an hour or two on two cores. Each plan
is kept in --plans, so the same command goes on where it was interrupted.
"""

import json
import subprocess
import sys
from pathlib import Path

from absl import flags

from vlp_jax import cli
from vlp_jax.core.errors import CONFIG_WRONG, RunError
from vlp_jax.core.logs import say
from vlp_jax.planning.roofline import ASSUMPTIONS

flags.DEFINE_string("page", "docs/scaling.md", "The page to write.")
flags.DEFINE_string("plans", "runs/scaling", "Folder that keeps finished plans.")
flags.DEFINE_string("recipes", "configs/pretrain", "Folder of the recipes.")
flags.DEFINE_list("slices", ["v5e:16x16", "v5p:8x8x8", "v6e:16x16"], "Slices.")

HEADER = (
    "| config | slice | batch | fits | peak of available, GiB a chip "
    "| step at best, ms (limit) | pairs/s at best | MFU at best | sent a chip, MB |\n"
    "|---|---|---|---|---|---|---|---|---|"
)

PAGE = """# From laptop to pod: what fits where

Made by `python -m vlp_jax.planning.table` ({compiler}); nothing here was run on a TPU.
One row is `python -m vlp_jax.plan --config=CONFIG --topology=SLICE`. Where the config's
batch does not fit, a second row has the largest batch found to fit (`--find_batch`).

{table}

Memory is what the compiler says: arguments, temporaries and code at the same time. The
step time is a bound (a roofline), not a forecast; it assumes that {assumptions}.
MFU: model FLOP, three times those of the forward pass, without what remat does again.
"""


def plan(config: Path, topology: str, results: Path, *options: str) -> dict | None:
    """The plan as a dict, from --plans or newly made; None when it failed.

    Each runs in a process of its own: memory goes back, and jax starts anew.
    """
    find = "_largest" if options else ""
    kept = results / f"{config.stem}_{topology.replace(':', '_')}{find}.json"
    if not kept.is_file():
        command = [sys.executable, "-m", "vlp_jax.plan", "--json", *options]
        command += [f"--config={config}", f"--topology={topology}"]
        say(f"  {' '.join(command[1:])}")
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode not in (0, CONFIG_WRONG) or not done.stdout:
            return None
        results.mkdir(parents=True, exist_ok=True)
        kept.write_text(done.stdout)
    return json.loads(kept.read_text())


def row(found: dict) -> str:
    """One line of the table."""
    memory, roof = found["memory"], found["roofline"]
    peak, available = (memory[key] / 2**30 for key in ("peak", "available"))
    bound = "" if memory["peak_is"] == "exact" else "at least "
    cells = [
        found["name"],
        found["topology"],
        f"{found['batch_size']:,}",
        "yes" if found["fits"] else f"no, {found['shortfall'] / 2**30:.1f} GiB short",
        f"{bound}{peak:.1f} of {available:.1f}",
    ]
    if roof and found["fits"]:
        sent = sum(c["sent"] for c in found["collectives"]) / 1e6
        cells += [
            f"{roof['step'] * 1e3:.1f} ({roof['limit']})",
            f"{roof['pairs_per_second']:,.0f}",
            f"{roof['utilisation']:.0%}",
            f"{sent:,.0f}",
        ]
    else:
        cells += ["-"] * 4
    return f"| {' | '.join(cells)} |"


def rows(config: Path, topology: str, results: Path) -> list[str]:
    """The rows of a config on a slice: one, or two when its batch does not fit."""
    found = plan(config, topology, results)
    if found is None:
        return [f"| {config.stem} | {topology} | the plan failed |" + " |" * 6]
    if found["fits"]:
        return [row(found)]
    found = plan(config, topology, results, "--find_batch") or found
    largest = found["at_largest_batch"]
    return [row(found)] + ([row(largest)] if largest else [])


def main() -> None:
    from vlp_jax.planning.planner import has_libtpu

    arguments = flags.FLAGS
    configs = sorted(Path(arguments.recipes).glob("[a-z]*.py"))
    if not configs:
        raise RunError(f"--recipes={arguments.recipes} has no recipes")
    compiler = "compiled by libtpu" if has_libtpu() else "CPU compiler: a rough guide"
    table = [HEADER]
    for config in configs:
        for topology in arguments.slices:
            table += rows(config, topology, Path(arguments.plans))
            text = PAGE.format(
                compiler=compiler,
                table="\n".join(table),
                assumptions="; ".join(ASSUMPTIONS),
            )
            Path(arguments.page).write_text(text)
    say(f"Done: {arguments.page}")


if __name__ == "__main__":
    cli.run(main)

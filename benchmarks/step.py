"""A whole train step: ours beside open_clip's, and in micro-batches.

python -m benchmarks.step                 CLIP in two geometries against open_clip
python -m benchmarks.step --accumulate    micro-batches against the batch in one piece

A step is forward, backward, AdamW and the bound of the scale. Every side is a process
of its own; they take turns, and the median of the rounds counts. open_clip is PyTorch
in eager mode with its own loss and the optimizer settings of its trainer; it starts
from our weights, so that its losses show whether both sides do the same work. It lives
in .venv-peers, which `bash tests/peers/install.sh` makes.

On a GPU (needs CUDA builds of jax and torch):
python -m benchmarks.step --geometry=B/32 --batch=2048 --dtype=bfloat16 \\
    --peers open_clip open_clip_compiled
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers.side import ROOT, TUNABLES, Side

OURS, PEER = "benchmarks.peers.our_step", "benchmarks.peers.open_clip_step"
PEERS = {"open_clip": False, "open_clip_compiled": True}  # name -> compiled
VENV = ROOT / ".venv-peers"


def clip(image, patch_size, text, embedding_size, batch) -> dict:
    """A CLIP; a tower is (width, depth, heads). batch: what two cores do in seconds."""
    names = ("width", "depth", "heads")
    return {
        "image": dict(zip(names, image, strict=True), patch_size=patch_size),
        "text": dict(zip(names, text, strict=True)),
        "embedding_size": embedding_size,
        "batch": batch,
    }


# Length 77, vocabulary 49408, 224 pixels.
GEOMETRIES = {
    "512x6": clip((512, 6, 8), 32, (512, 6, 8), 512, 32),
    "B/32": clip((768, 12, 12), 32, (512, 12, 8), 512, 16),
    "B/16": clip((768, 12, 12), 16, (512, 12, 8), 512, 8),
    "L/14": clip((1024, 24, 16), 14, (768, 12, 12), 768, 2),
}
GIGAFLOP = {"B/32": 44.3, "B/16": 123.3, "L/14": 526.0}  # a pair, forward and backward
PEAK = 989e12  # FLOP/s of an H100 or H200 in bfloat16
OPTIMIZER = dict(
    learning_rate=1e-4, b1=0.9, b2=0.98, epsilon=1e-6, weight_decay=0.2
)  # CLIP's but for the rate
MICRO_BATCH = 32  # of --accumulate
GOAL, MEMORY_GOAL, TIME_GOAL = 1.3, 1.15, 1.4


def task_of(options, geometry: str, **changes) -> dict:
    """What a side is to do."""
    task = GEOMETRIES[geometry] | {
        "image_size": 224,
        "activation": options.activation,
        "dtype": options.dtype,
        "threads": len(os.sched_getaffinity(0)),
        "optimizer": OPTIMIZER,
        "steps": options.steps,
        "parts": 1,
    }
    if options.batch:
        task["batch"] = options.batch
    return task | changes


def describe(task: dict) -> str:
    towers = (
        f"{name} {task[name]['width']}x{task[name]['depth']}, "
        f"{task[name]['heads']} heads"
        for name in ("image", "text")
    )
    return (
        f"{'; '.join(towers)}; patch {task['image']['patch_size']}, "
        f"{task['activation']}, {task['dtype']}; batch {task['batch']}"
    )


class Turns(NamedTuple):
    """What a side did: median and smallest seconds a step, cores busy, first losses."""

    seconds: float
    fastest: float
    cores: float
    losses: list[float]


def take_turns(sides: dict[str, Side], rounds: int) -> dict[str, Turns]:
    found = {name: [] for name in sides}
    for _ in range(rounds + 1):  # in turn: the machine's speed drifts
        for name, side in sides.items():
            found[name].append(side.ask("run"))

    def summary(first, *others):  # the first one warms up
        seconds = [x["seconds"] for x in others]
        cores = [x["cpu_seconds"] / x["seconds"] for x in others]
        middle = statistics.median
        return Turns(middle(seconds), min(seconds), middle(cores), first["losses"])

    return {name: summary(*turns) for name, turns in found.items()}


def judge(name: str, value: float, sign: str, goal: float) -> None:
    met = value >= goal if sign == ">=" else value <= goal
    verdict = "met" if met else "NOT MET"
    print(f"  {name:38} {value:5.2f}  {verdict} (goal {sign} {goal})", flush=True)


def show(name: str, turns: Turns, task: dict, gigaflop: float | None = None) -> None:
    """One line of a table; with the utilisation of a GPU where `gigaflop` is given."""
    speed = task["batch"] / turns.seconds
    used = f"; {speed * gigaflop * 1e9 / PEAK:.1%} of the peak" if gigaflop else ""
    print(
        f"  {name:18} {turns.seconds:7.3f} s/step (fastest {turns.fastest:.3f}), "
        f"{speed:.1f} pairs/s, {turns.cores:.2f} cores busy{used}",
        flush=True,
    )


def check_losses(found: dict[str, Turns], task: dict) -> None:
    """Stops where the sides do not compute the same loss from the same weights."""
    ours = found["vlp_jax"].losses
    for name, turns in found.items():
        parts = [abs(a - b) / a for a, b in zip(ours, turns.losses, strict=True)]
        if name != "vlp_jax":
            shown = " and ".join(f"{x:.6f}" for x in turns.losses)
            print(f"  {name}'s losses are {shown}; ours differ by {max(parts):.0e}")
        if parts[0] > (1e-5 if task["dtype"] == "float32" else 2e-2):
            raise SystemExit(f"the first losses differ: {ours[0]}, {turns.losses[0]}")


def against_peers(options, geometry: str) -> None:
    """The same step on every side, from the same weights."""
    python = Path(options.venv) / "bin" / "python"
    if not python.exists():
        raise SystemExit(
            f"{options.venv} is missing; `bash tests/peers/install.sh` makes it"
        )
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        task = task_of(options, geometry, folder=folder)
        print(f"\n{geometry}: {describe(task)}", flush=True)
        sides = {"vlp_jax": stack.enter_context(Side(sys.executable, OURS, task))}
        for name in options.peers:
            peer = Side(python, PEER, task | {"compiled": PEERS[name]})
            sides[name] = stack.enter_context(peer)
        for name, side in sides.items():
            about, parameters = side.about["versions"], side.about["parameters"]
            print(f"  {name:20} {parameters:,} parameters; {about}", flush=True)
        found = take_turns(sides, options.rounds)
    check_losses(found, task)
    on_cpu = sides["vlp_jax"].about["platform"] == "cpu"
    for name in sides:
        show(name, found[name], task, None if on_cpu else GIGAFLOP.get(geometry))
    for name in options.peers:
        ratio = found[name].seconds / found["vlp_jax"].seconds
        judge(f"speed, vlp_jax / {name}", ratio, ">=", GOAL)


def in_parts(options, geometry: str) -> None:
    """The batch in one piece, in micro-batches, and one micro-batch alone."""
    parts = options.parts
    whole = task_of(options, geometry)
    whole["batch"] = options.batch or parts * MICRO_BATCH
    micro = whole["batch"] // parts
    if micro * parts != whole["batch"]:
        raise SystemExit(f"a batch of {whole['batch']} is not {parts} equal parts")
    tasks = {
        "one piece": whole,
        f"{parts} micro-batches": whole | {"parts": parts},
        "one micro-batch": whole | {"batch": micro},
    }
    print(f"\n{geometry}: {describe(whole)}, in {parts} parts of {micro}", flush=True)
    with contextlib.ExitStack() as stack:
        sides = {
            name: stack.enter_context(Side(sys.executable, OURS, task))
            for name, task in tasks.items()
        }
        memory = {k: side.about["temporary"] / 2**20 for k, side in sides.items()}
        found = take_turns(sides, options.rounds)
    for name, task in tasks.items():
        print(f"  {memory[name]:6.0f} MiB", end="")
        show(name, found[name], task)
    whole, parted, micro = tasks
    losses = [found[name].losses[0] for name in (whole, parted)]
    print("  first losses in one piece and in parts: {:.6f}, {:.6f}".format(*losses))
    ratio = memory[parted] / memory[micro]
    judge("memory, in parts / one micro-batch", ratio, "<=", MEMORY_GOAL)
    ratio = found[parted].seconds / found[whole].seconds
    judge("time, in parts / one piece", ratio, "<=", TIME_GOAL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--geometry", choices=GEOMETRIES, help="default: 512x6 and B/32, or 512x6")
    add("--accumulate", action="store_true", help="measure micro-batches")
    add("--parts", type=int, default=4, help="how many micro-batches")
    add("--batch", type=int, help="pairs a step; default: some seconds' work")
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    add("--activation", choices=("quick_gelu", "gelu"), default="quick_gelu")
    add("--peers", nargs="+", choices=PEERS, default=["open_clip"])
    add("--venv", default=VENV, help="where the peers live")
    add("--rounds", type=int, default=5)
    add("--steps", type=int, default=2, help="of each side in a round")
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    print(f"{threads} cores, load {os.getloadavg()[0]:.2f} before the start")
    print(f"GLIBC_TUNABLES={TUNABLES} on every side")
    compare = in_parts if options.accumulate else against_peers
    usual = ("512x6",) if options.accumulate else ("512x6", "B/32")
    for geometry in [options.geometry] if options.geometry else usual:
        compare(options, geometry)


if __name__ == "__main__":
    main()

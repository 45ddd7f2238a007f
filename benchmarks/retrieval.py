"""Recall of retrieval at scale: our ranks beside faiss' exact index, on the same cores.

python -m benchmarks.retrieval                                    20,000 x 100,000
python -m benchmarks.retrieval --images=100000 --texts=500000 --rounds=1 --alone

Both sides rank the same random embeddings; their recalls must agree. The sides take
turns; medians count, after a first round in which programs are compiled. faiss searches
once a direction, ours gets both from one pass. It lives in .venv-peers, which
`bash tests/peers/install.sh` makes.
"""

import argparse
import contextlib
import os
import statistics
import sys
from pathlib import Path

from benchmarks.peers.side import ROOT, Side

OURS, PEER = "benchmarks.peers.our_retrieval", "benchmarks.peers.faiss_retrieval"
TIMES = ("seconds", "cpu_seconds")
GOAL = 0.8  # of faiss' speed
CLOSE = 2e-4  # between recalls: near ties are rounded by each in its own way


def median(turns: list[dict], of: str) -> float:
    return statistics.median(turn[of] for turn in turns)


def show(name: str, turns: list[dict], options) -> None:
    """A line of what a side took and found."""
    seconds, used = median(turns, "seconds"), median(turns, "cpu_seconds")
    pairs = options.images * options.texts
    found = {
        f"{direction}@{k}": round(value, 5)
        for direction, recalls in turns[-1]["found"].items()
        for k, value in recalls.items()
    }
    print(
        f"  {name:28} {seconds:7.2f} s, {used:7.2f} CPU s, "
        f"{pairs / seconds / 1e6:6.1f} M pairs/s; memory: embeddings and program "
        f"{turns[0]['held_mib']:,.0f} MiB, {turns[0]['added_mib']:,.0f} more at most; "
        f"{found}",
        flush=True,
    )


def agree(one: dict, other: dict) -> bool:
    """Whether two sides found the same recalls."""
    return all(
        abs(one[direction][k] - other[direction][k]) <= CLOSE
        for direction in other
        for k in other[direction]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--images", type=int, default=20_000)
    add("--texts", type=int, default=100_000)
    add("--width", type=int, default=512)
    add("--rounds", type=int, default=3)
    add("--cores", type=int, default=len(os.sched_getaffinity(0)))
    add("--venv", default=ROOT / ".venv-peers", help="where the peers live")
    add("--alone", action="store_true", help="without faiss, and without a first round")
    options = parser.parse_args()
    names = ("images", "texts", "width", "cores")
    task = {name: getattr(options, name) for name in names}
    matrix = options.images * options.texts * 4 / 2**30
    print(
        f"{options.images:,} images, {options.texts:,} texts, width {options.width}; "
        f"{options.cores} cores, load {os.getloadavg()[0]:.2f} before the start; the "
        f"matrix of scores would take {matrix:.1f} GiB"
    )
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(Side(sys.executable, OURS, task))
        turns = {("vlp_jax", "both"): ours}
        if not options.alone:
            python = Path(options.venv) / "bin" / "python"
            peer = stack.enter_context(Side(python, PEER, task))
            faiss = peer.about["name"]
            turns |= {(faiss, "both"): peer, (faiss, "images of texts"): peer}
        found = {turn: [] for turn in turns}
        for number in range(options.rounds + (not options.alone)):
            for (name, what), side in turns.items():
                answer = side.ask(what)
                if number or options.alone:
                    found[name, what].append(answer)
    for (name, what), answers in found.items():
        show(f"{name}, {what}", answers, options)
    mine = found["vlp_jax", "both"]
    for turn in list(found)[1:]:
        if not agree(mine[-1]["found"], found[turn][-1]["found"]):
            raise SystemExit("the recalls differ")
        ratios = [median(found[turn], s) / median(mine, s) for s in TIMES]
        print(
            f"  vlp_jax is {ratios[0]:.2f} times as fast as {', '.join(turn)}; by CPU "
            f"seconds {ratios[1]:.2f} times (goal {GOAL})"
        )


if __name__ == "__main__":
    main()

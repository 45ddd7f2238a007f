"""How fast pictures are read: our loader beside a plain one and beside webdataset.

python -m benchmarks.input             500x375, 256x256 and 1024x768 JPEG files
python -m benchmarks.input --memory    200,000 samples, and the memory after each part

Every side reads the same files on the same cores, decodes, takes a random crop and
resizes it to 224. The sides take turns; medians count. Two rates: by the clock, and by
CPU seconds, which says more where other work shares the machine. webdataset with
torch's DataLoader lives in .venv-peers, which `bash tests/peers/install.sh` makes.
"""

import argparse
import contextlib
import io
import itertools
import os
import resource
import statistics
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.peers.side import ROOT, Side
from benchmarks.pictures import encode, photograph

SIZES = ((500, 375), (256, 256), (1024, 768))
OURS, PEER = "benchmarks.peers.our_input", "benchmarks.peers.webdataset_input"
SIDES = ("vlp_jax", "vlp_jax, workers", "vlp_jax, decoder=pillow", "plain Pillow")
WEBDATASET = "webdataset + torch"
GOAL = 900  # images/s of a core, 500x375
SHARDS, COPIES = 4, 16


def write_pictures(folder: Path, size: tuple[int, int], options) -> int:
    """A folder of JPEG files with captions, and the same as tars; bytes a picture.

    Each picture has COPIES names: the order of a very small source costs more.
    """
    names = (folder / f"{number:05d}.tar" for number in range(SHARDS))
    shards, total = [tarfile.open(name, "w") for name in names], 0
    (folder / "photos").mkdir()
    for number in range(options.pictures):
        data = encode(photograph(*size, number), quality=options.quality)
        total += len(data)
        for copy in range(COPIES):
            for ending, content in (("jpg", data), ("txt", b"a picture of something")):
                name = f"{number + copy * options.pictures:06d}.{ending}"
                (folder / "photos" / name).write_bytes(content)
                member = tarfile.TarInfo(name)
                member.size = len(content)
                shards[copy % SHARDS].addfile(member, io.BytesIO(content))
    for shard in shards:
        shard.close()
    return total // options.pictures


def source_of(kind: str, folder: Path) -> dict:
    """The kind and the keywords of one of our sources on the pictures."""
    keywords = {
        "image_folder": {"root": str(folder / "photos")},
        "webdataset": {"urls": f"{folder}/{{00000..{SHARDS - 1:05d}}}.tar"},
    }
    return {"kind": kind, "keywords": keywords[kind]}


def compare(options, size: tuple[int, int]) -> None:
    python = Path(options.venv) / "bin" / "python"
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        bytes_each = write_pictures(folder, size, options)
        task = {
            "folder": str(folder / "photos"),
            "shards": [str(path) for path in sorted(folder.glob("*.tar"))],
            "source": source_of(options.source, folder),
            "size": 224,
            "batch": 64,
            "cores": options.cores,
            "seconds": options.seconds,
        }
        ours = stack.enter_context(Side(sys.executable, OURS, task))
        sides = dict.fromkeys(SIDES, ours)
        if python.exists():
            sides[WEBDATASET] = stack.enter_context(Side(python, PEER, task))
        found = {side: [] for side in sides}
        for _ in range(options.rounds):  # in turn: the machine's speed drifts
            for side, process in sides.items():
                found[side].append(process.ask(side))
        quality = ours.ask("quality")
    print(
        f"\n{size[0]}x{size[1]}, quality {options.quality}, {bytes_each:,} bytes each; "
        f"PSNR against Pillow's bicubic: fast {quality['fast']:.1f} dB, Pillow's "
        f"bilinear {quality['bilinear']:.1f} dB"
    )
    show(found, options.cores)
    if not python.exists():
        print(f"  {options.venv} is missing; `bash tests/peers/install.sh` makes it")


def show(found: dict[str, list[dict]], cores: int) -> None:
    """A line for each side: medians of its rates, and ours against them."""

    def rate(turns: list[dict], of: str) -> float:
        return statistics.median(turn["images"] / turn[of] for turn in turns)

    ours = found["vlp_jax"]
    for side, turns in found.items():
        ratios = [
            statistics.median(
                (a["images"] / a[of]) / (b["images"] / b[of])
                for a, b in zip(ours, turns, strict=True)
            )
            for of in ("seconds", "cpu_seconds")
        ]
        print(
            f"  {side:24} {rate(turns, 'seconds') / cores:6.0f} images/s a core, "
            f"{rate(turns, 'cpu_seconds'):6.0f} a CPU second; "
            f"vlp_jax is {ratios[0]:.2f} and {ratios[1]:.2f} times as fast",
            flush=True,
        )


def memory(options) -> None:
    """Walks many samples through the loader, some of them broken; prints what is held.

    2,000 pictures again and again; small ones, so that it ends in minutes.
    """
    from benchmarks.peers.our_input import no_text
    from vlp_jax.data.loader import Loader
    from vlp_jax.data.order import Order
    from vlp_jax.data.pairs import PairSamples
    from vlp_jax.data.sources.image_folder import ImageFolder
    from vlp_jax.data.transforms.crop import RandomResizedCrop

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for number in range(2000):
            data = encode(photograph(96, 72, number % 50), quality=90)
            broken = number % 100 == 0
            (root / f"{number}.jpg").write_bytes(data[:500] if broken else data)
            (root / f"{number}.txt").write_text("a picture of something")
        source = ImageFolder(str(root))
        crop = RandomResizedCrop(64)
        samples = PairSamples(source, Order(len(source), 0), crop, no_text, 0)
        loader = Loader(samples, 100, options.cores, workers=options.workers)
        stream, bad = loader.batches(0), 0
        for count in itertools.count(100, 100):
            bad += sum(next(stream).bad.values())
            if count in (1000, 10_000) or count % 40_000 == 0:
                print(f"  {count:8,} samples: {resident():7.1f} MiB, {bad:,} bad")
            if count >= options.samples:
                break
        stream.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  the most at any time: {peak:.1f} MiB")


def resident() -> float:
    """MiB of memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", choices=[f"{w}x{h}" for w, h in SIZES], help="default: all three")
    add("--quality", type=int, default=90, help="of the JPEG files")
    add("--pictures", type=int, default=256)
    add("--source", choices=("image_folder", "webdataset"), default="image_folder")
    add("--cores", type=int, default=len(os.sched_getaffinity(0)))
    add("--venv", default=ROOT / ".venv-peers", help="where the peers live")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=4.0, help="of each side in a round")
    add("--memory", action="store_true", help="what many samples leave behind")
    add("--samples", type=int, default=200_000, help="of --memory")
    add("--workers", type=int, default=0, help="of --memory")
    options = parser.parse_args()
    np.seterr(all="raise", under="ignore")
    print(f"{options.cores} cores, load {os.getloadavg()[0]:.2f} before the start")
    if options.memory:
        memory(options)
        return
    for size in SIZES:
        if options.size in (None, f"{size[0]}x{size[1]}"):
            compare(options, size)
    print(f"\nGoal: {GOAL} images/s a core at 500x375, and no side faster")


if __name__ == "__main__":
    main()

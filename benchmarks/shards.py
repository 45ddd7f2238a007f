"""How fast tar shards are indexed, opened and read.

python -m benchmarks.shards      200,000 members of 2 KB pictures, captions
"""

import functools
import io
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from vlp_jax.data.sources.webdataset import WebDataset

SHARDS, SAMPLES, BYTES, READS, ROUNDS = 10, 10_000, 2048, 50_000, 3


def write_shards(folder: Path) -> None:
    """SHARDS tars of SAMPLES pictures of about BYTES with a caption each."""
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    picture = file.getvalue().ljust(BYTES, b"\0")
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for sample in range(SAMPLES):
                for ending, data in (("jpg", picture), ("txt", b"a caption of a file")):
                    entry = tarfile.TarInfo(f"{sample:09d}.{ending}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))


def seconds(what: Callable) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


def read(source: WebDataset, order: np.ndarray) -> None:
    for index in order.tolist():
        source[index]


def main() -> None:
    found = {"indexed, members/s": [], "opened again, ms": []}
    found |= {"read at random, samples/s": [], "read in order, samples/s": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards(folder)
        for _ in range(ROUNDS):
            for index in folder.glob("*.index"):
                index.unlink()
            members = 2 * SHARDS * SAMPLES
            found["indexed, members/s"].append(
                members / seconds(lambda: WebDataset(name))
            )
            found["opened again, ms"].append(1000 * seconds(lambda: WebDataset(name)))
            source, rng = WebDataset(name), np.random.default_rng(0)
            orders = {
                "read at random, samples/s": rng.integers(len(source), size=READS),
                "read in order, samples/s": np.arange(READS),
            }
            for label, order in orders.items():
                found[label].append(
                    READS / seconds(functools.partial(read, source, order))
                )
    for label, values in found.items():
        low, middle, high = sorted(values)
        print(f"{label:26} {middle:10,.0f}  ({low:,.0f} to {high:,.0f})")


if __name__ == "__main__":
    main()

"""Our loader, and a plain one on Pillow, as benchmarks/input.py asks for them."""

import functools
import itertools
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from benchmarks.peers.reading import watched
from benchmarks.peers.side import serve
from benchmarks.pictures import psnr
from vlp_jax.data.loader import Loader
from vlp_jax.data.order import Order
from vlp_jax.data.pairs import PairSamples
from vlp_jax.data.sources import SOURCES
from vlp_jax.data.transforms.crop import RandomResizedCrop
from vlp_jax.feed import no_text


def batches(task: dict, decoder: str, workers: int):
    """How many pictures each batch of our loader has."""
    source = SOURCES[task["source"]["kind"]](**task["source"]["keywords"])
    crop = RandomResizedCrop(task["size"], decoder=decoder)
    samples = PairSamples(source, Order(len(source), 0), crop, no_text, 0)
    threads = 1 if workers else task["cores"]
    loader = Loader(samples, task["batch"], threads, workers=workers)
    for batch in loader.batches(0):
        yield len(batch.arrays["pairs"]["image"])


def plain(task: dict):
    """The same without a loader: captions, files, Pillow and a pool of threads."""
    paths = sorted(Path(task["folder"]).rglob("*.jpg"))
    crop, size = RandomResizedCrop(task["size"]), (task["size"],) * 2

    def read(position: int) -> np.ndarray:
        rng = np.random.default_rng((0, position))
        path = paths[position % len(paths)]
        path.with_suffix(".txt").read_text()
        with open(path, "rb") as file:
            image = Image.open(file).convert("RGB")
        image = image.crop(crop.box(*image.size, rng))
        return np.asarray(image.resize(size, Image.Resampling.BICUBIC))

    with ThreadPoolExecutor(task["cores"]) as pool:
        ahead = []
        for first in itertools.count(0, task["batch"]):
            ahead.append([pool.submit(read, first + i) for i in range(task["batch"])])
            if len(ahead) > 2:
                yield len(np.stack([one.result() for one in ahead.pop(0)]))


def quality(task: dict) -> dict:
    """PSNR in dB against Pillow's bicubic: the fast decoder, Pillow's bilinear."""
    paths = sorted(Path(task["folder"]).rglob("*.jpg"))[:16]
    fast, bilinear = [], []
    for number, path in enumerate(paths):
        data = path.read_bytes()

        def by(data=data, number=number, **keywords) -> np.ndarray:
            rng = np.random.default_rng(number)
            return RandomResizedCrop(task["size"], **keywords)(data, rng)

        expected = by(decoder="pillow")
        fast.append(psnr(by(), expected))
        other = by(decoder="pillow", interpolation="bilinear")
        bilinear.append(psnr(other, expected))
    return {"fast": np.mean(fast), "bilinear": np.mean(bilinear)}


def main() -> None:
    task = json.loads(sys.argv[1])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: task["cores"]])
    watch = functools.partial(watched, seconds=task["seconds"])
    ours = functools.partial(batches, task)
    answers = {
        "vlp_jax": lambda: watch(lambda: ours("fast", 0)),
        "vlp_jax, workers": lambda: watch(lambda: ours("fast", task["cores"])),
        "vlp_jax, decoder=pillow": lambda: watch(lambda: ours("pillow", 0)),
        "plain Pillow": lambda: watch(lambda: plain(task)),
        "quality": lambda: quality(task),
    }
    serve({"versions": f"Pillow {PIL.__version__}"}, answers)


if __name__ == "__main__":
    main()

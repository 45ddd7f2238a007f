"""Tar shards as other tools write them, with samples broken in every known way."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.data.tars import png_claiming
from vlp_jax.data.sources.digit_scenes import DigitScenes

Members = dict[str, bytes]  # ending -> content
BOMB = png_claiming(100_000, 100_000)


def encoded(array, ending: str) -> bytes:
    file = io.BytesIO()
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
    Image.fromarray(array).save(file, kinds[ending])
    return file.getvalue()


# What can be wrong with a sample -> what is made of its members. The first ones are
# found when it is read, and then replaced; the others when the index is built.
BROKEN: dict[str, Callable[[Members], Members]] = {
    "image_truncated": lambda m: m | {"jpg": m["jpg"][: len(m["jpg"]) // 2]},
    "image_empty": lambda m: m | {"jpg": b""},
    "image_unreadable": lambda m: m | {"jpg": b"<html><body>404</body></html>"},
    "caption_unreadable": lambda m: m | {"txt": b"a big \xff\xfe three"},
    "image_too_large": lambda m: {"png": BOMB, "txt": m["txt"]},
}
DROPPED: dict[str, Callable[[Members], Members]] = {
    "caption_missing": lambda m: {"jpg": m["jpg"]},
    "image_missing": lambda m: {"txt": m["txt"]},
}


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def write_shards(
    folder: Path,
    shards: int,
    samples: int,
    broken: dict[int, str] | None = None,
    split: str = "train",
    caption: Callable[[str], str] = str,
) -> Path:
    """`shards` tars of `samples` digit scenes each; `broken`: number -> a cause.

    Returns the folder, which is what `urls` may be set to.
    """
    broken = broken or {}
    folder.mkdir(parents=True, exist_ok=True)
    scenes = DigitScenes(split=split, size=shards * samples, canvas=24)
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for number in range(shard * samples, (shard + 1) * samples):
                example = scenes[number]
                members = {
                    "jpg": encoded(example.image, "jpg"),
                    "txt": caption(example.captions[0]).encode(),
                }
                if number in broken:
                    members = (BROKEN | DROPPED)[broken[number]](members)
                for ending, content in members.items():
                    add_member(tar, f"{number:08d}.{ending}", content)
    return folder


def spread_breakage(samples: int, share: float) -> dict[int, str]:
    """`share` of the samples broken, evenly, every cause in turn."""
    causes = [*BROKEN, *DROPPED]
    step = round(1 / share)
    numbers = range(step // 2, samples, step)
    return {n: causes[i % len(causes)] for i, n in enumerate(numbers)}

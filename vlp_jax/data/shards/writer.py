"""Turns a source into tar shards with an index: what `prepare` does.

Shard k holds the samples k * shard_size ... of the source, in its order; what cannot
be used is left out, so that a shard may be shorter. The bytes of a shard follow from
the source alone (see folder.py for what becomes of them after a stop).
"""

import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlp_jax.core.errors import BadSample, check_range
from vlp_jax.core.logs import track
from vlp_jax.core.types import Example, Source
from vlp_jax.data.files import LIMITS
from vlp_jax.data.shards.folder import Counts, Layout, ShardFolder, write_json
from vlp_jax.data.shards.sample_json import to_json
from vlp_jax.data.shards.store import open_indices
from vlp_jax.data.transforms.image import decode_image

SUMMARY = "summary.json"
LAYOUT = Layout("prepare", "prepare.json", "{:05d}.tar", "{:05d}.json")
MAGIC = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tif",
    b"MM\0*": "tif",
}


class _Stopped(Exception):
    """Another shard could not be written."""


class ShardWriter:
    """Writes a source to a folder.

    Args:
      source: the samples.
      folder: where shards, indices, prepare.json (whose they are) and summary.json
        (counts) go; made if it is not there.
      shard_size: samples of a shard.
      workers: threads, each at a shard of its own.
      check: whether every picture is decoded first, to leave broken ones out.
      settings: what the source was made with, such as the names of its columns.

    Raises ConfigError when the folder holds anything else, or another process is
    writing to it.
    """

    def __init__(
        self,
        source: Source,
        folder: str | Path,
        shard_size: int = 10_000,
        workers: int = 4,
        check: bool = True,
        settings: Mapping[str, Any] | None = None,
    ):
        check_range("shard_size", shard_size, 1)
        check_range("workers", workers, 1)
        self.source, self.check = source, check
        self.shard_size, self.workers = shard_size, workers
        self._stop = threading.Event()
        own = {
            "source": source.name,
            "samples": len(source),
            "shard_size": shard_size,
            "check": check,
            "class_names": list(source.class_names),
            "fingerprint": dict(source.fingerprint),
        }
        own |= {f"settings.{key}": value for key, value in (settings or {}).items()}
        count = -(-len(source) // shard_size)
        self.shards = ShardFolder(folder, LAYOUT, count, own)

    def run(self) -> Counts:
        """Writes what is missing; the counts of all shards, earlier ones too."""
        with self.shards:
            self._write_missing()
            return self._conclude()

    def _write_missing(self) -> None:
        missing = self.shards.missing()
        with ThreadPoolExecutor(self.workers) as pool:
            work = [pool.submit(self._write_shard, k) for k in missing]
            try:
                for done in track(as_completed(work), len(work), "shards written"):
                    done.result()
            finally:  # on an interrupt too
                self._stop.set()
                pool.shutdown(cancel_futures=True)

    def _conclude(self) -> Counts:
        """The index of all shards, and the counts."""
        total, shards = self.shards.total(), self.shards
        if total.samples:
            open_indices([str(shards.shard(k)) for k in range(shards.count)], None)
        write_json(shards.path / SUMMARY, total.content())
        return total

    def _write_shard(self, number: int) -> None:
        temporary, counts = self.shards.shard(number).with_suffix(".tar.tmp"), Counts()
        start = number * self.shard_size
        stop = min(len(self.source), start + self.shard_size)
        try:
            with tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:
                for name, data in self._members(range(start, stop), counts):
                    entry = tarfile.TarInfo(name)  # no time, no owner
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
            self.shards.keep(number, temporary, counts)
        except _Stopped:
            pass
        except BaseException:
            self._stop.set()  # the shards after it are not begun
            raise
        finally:
            temporary.unlink(missing_ok=True)

    def _members(self, indices: range, counts: Counts) -> Iterator[tuple[str, bytes]]:
        for index in indices:
            if self._stop.is_set():
                raise _Stopped
            name = f"sample {index}"
            try:
                example = self.source[index]
                name = example.name or name
                members = members_of(example, self.check)
            except BadSample as error:
                counts.add_bad(error.cause, name)
                continue
            counts.samples += 1
            for field, data in members.items():
                yield f"{index:09d}.{field}", data


def members_of(example: Example, check: bool = True) -> dict[str, bytes]:
    """{field: bytes}: the picture as it is, the first caption, and all the rest.

    Arrays become PNG. Raises BadSample where the picture cannot be decoded (`check`).
    """
    image = example.image
    if check or isinstance(image, np.ndarray):
        picture = decode_image(image)
    if isinstance(image, np.ndarray):
        members = {"png": _png(picture)}
    else:
        members = {picture_ending(image): bytes(image)}
    if example.captions:
        members["txt"] = example.captions[0].encode("utf-8", "replace")
    text = json.dumps(to_json(example), ensure_ascii=False, sort_keys=True)
    content = text.encode("utf-8", "backslashreplace")  # of odd file names
    if len(content) > LIMITS["caption"]:
        raise BadSample("caption_too_long", f"{len(content):,} bytes of JSON")
    return members | {"json": content}


def picture_ending(image: bytes) -> str:
    """'jpg' for the bytes of a JPEG; BadSample for what is no picture."""
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "webp"
    found = next((e for magic, e in MAGIC.items() if image.startswith(magic)), None)
    if found is None:
        cause = "image_unreadable" if image else "image_empty"
        raise BadSample(cause, f"not a picture, starts with {image[:16]!r}")
    return found


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()

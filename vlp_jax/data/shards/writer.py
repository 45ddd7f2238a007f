"""Turns a source into tar shards with an index: what `prepare` does.

Shard k holds the samples k * shard_size ... of the source, in its order; what cannot
be used is left out, so that a shard may be shorter. The bytes of a shard follow from
the source alone. It is written under another name and renamed when it is complete,
after its counts: a folder holds whole shards only, and the same command goes on with
those that are missing.
"""

import dataclasses
import fcntl
import io
import json
import os
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from vlp_jax.core.errors import BadSample, ConfigError, RunError, check_range
from vlp_jax.core.logs import track
from vlp_jax.core.types import Example, Source
from vlp_jax.data.files import LIMITS
from vlp_jax.data.fingerprint import difference
from vlp_jax.data.shards.sample_json import to_json
from vlp_jax.data.shards.store import open_indices
from vlp_jax.data.transforms.image import decode_image

IDENTITY, SUMMARY, LOCK = "prepare.json", "summary.json", ".prepare.lock"
NAMED = 20  # bad samples of a shard that are named
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


@dataclasses.dataclass
class Counts:
    """What became of the samples of a shard, or of all."""

    samples: int = 0
    bad: Counter = dataclasses.field(default_factory=Counter)
    named: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def add(self, other: "Counts") -> None:
        self.samples += other.samples
        self.bad.update(other.bad)
        for cause, names in other.named.items():
            self.note(cause, *names)

    def note(self, cause: str, *names: str) -> None:
        known = self.named.setdefault(cause, [])
        known += names[: max(0, NAMED - len(known))]


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
        self.source, self.folder = source, Path(folder)
        self.shard_size, self.workers, self.check = shard_size, workers, check
        self.count = -(-len(source) // shard_size)
        self._stop = threading.Event()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
            with ExitStack() as undo:
                undo.enter_context(self._lock)
                self._take(dict(settings or {}))
                undo.pop_all()
        except OSError as error:
            problem = f"{folder} cannot be written to: {error.strerror}"
            raise ConfigError(f"{problem}; name another folder") from None

    def _locked(self) -> IO:
        """The open file with the lock, which the system lifts when it is closed."""
        lock = open(self.folder / LOCK, "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            problem = f"another prepare is writing to {self.folder}"
            raise ConfigError(f"{problem}; wait for it") from None
        return lock

    def _take(self, settings: dict[str, Any]) -> None:
        """Makes sure that the folder is ours."""
        path = self.folder / IDENTITY
        own = {
            "source": self.source.name,
            "samples": len(self.source),
            "shard_size": self.shard_size,
            "check": self.check,
            "class_names": list(self.source.class_names),
            "fingerprint": dict(self.source.fingerprint),
        }
        own |= {f"settings.{key}": value for key, value in settings.items()}
        own = json.loads(json.dumps(own))  # tuples are lists there
        if not path.exists():
            if any(self.folder.glob("*.tar")):
                problem = f"{self.folder} holds shards that prepare has not begun"
                raise ConfigError(f"{problem}; name another folder")
            _write_json(path, own)
            return
        try:
            found = json.loads(path.read_text())
            changed = difference(found.pop("fingerprint"), own["fingerprint"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{path} is damaged; name another folder") from None
        said = [
            f"{key} {found.get(key)!r}"
            for key in sorted((own.keys() | found.keys()) - {"fingerprint"})
            if found.get(key) != own.get(key)
        ]
        if said or changed:
            raise ConfigError(
                f"{self.folder} was begun with other data or settings ("
                f"{'; '.join([s[:80] for s in said] + [changed] * bool(changed))}); "
                "repeat these, or name another folder"
            )

    def missing(self) -> list[int]:
        """The shards that are not there yet."""
        ends = (".tar", ".json")
        return [
            k
            for k in range(self.count)
            if not all(self._path(k, end).exists() for end in ends)
        ]

    def run(self) -> Counts:
        """Writes what is missing; the counts of all shards, earlier ones too."""
        with self._lock:
            try:
                self._write_missing()
                return self._conclude()
            except OSError as error:
                place = error.filename or self.folder
                problem = f"{place} cannot be read or written: {error.strerror}"
                raise RunError(f"{problem}; the same command goes on") from None

    def _write_missing(self) -> None:
        missing = self.missing()
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
        total = self._total()
        if total.samples:
            shards = [str(self._path(k, ".tar")) for k in range(self.count)]
            open_indices(shards, None)
        summary = {
            "samples": total.samples,
            "left_out": dict(sorted(total.bad.items())),
        }
        _write_json(self.folder / SUMMARY, summary | {"names": total.named})
        return total

    def _total(self) -> Counts:
        total = Counts()
        for number in range(self.count):
            found = json.loads(self._path(number, ".json").read_text())
            bad = Counter(found["left_out"])
            total.add(Counts(found["samples"], bad, found["names"]))
        return total

    def _path(self, number: int, ending: str) -> Path:
        return self.folder / f"{number:05d}{ending}"

    def _write_shard(self, number: int) -> None:
        path, counts = self._path(number, ".tar"), Counts()
        temporary = path.with_suffix(".tar.tmp")
        start = number * self.shard_size
        stop = min(len(self.source), start + self.shard_size)
        try:
            with tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:
                for name, data in self._members(range(start, stop), counts):
                    entry = tarfile.TarInfo(name)  # no time, no owner
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
            about = {"samples": counts.samples, "left_out": counts.bad}
            _write_json(self._path(number, ".json"), about | {"names": counts.named})
            temporary.replace(path)
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
                counts.bad[error.cause] += 1
                counts.note(error.cause, name)
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


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, path)

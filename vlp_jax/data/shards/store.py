"""The indices of tar shards on disk: found where they are valid, made where not.

An index is one small file: a line that names the format, the length of a JSON header,
the header, and plain arrays, which are mapped into memory when samples are read. It
is written under another name and renamed, so that several processes may do it at once
and none ever sees half of one.
"""

import dataclasses
import functools
import hashlib
import json
import mmap
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import jax
import numpy as np

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.logs import say, track
from vlp_jax.data.shards.files import open_stream, stamp
from vlp_jax.data.shards.index import index_tar
from vlp_jax.data.shards.names import is_remote
from vlp_jax.parallel import hosts

FORMAT = b"vlp_jax tar index 2\n"
ENDING = ".index"
ALIGNED = 64
THREADS = 16  # for stamps, and for shards behind a URL


@dataclasses.dataclass(frozen=True)
class ShardIndex:
    """One shard: what index_tar tells about it, and the file with its arrays."""

    url: str
    path: str
    size: int
    about: dict

    def arrays(self) -> dict[str, np.ndarray]:
        """Mapped, not read; index_tar names them."""
        with open(self.path, "rb") as file:
            about = _read_header(file)
            if about["crc"] != self.about["crc"]:
                raise RunError(
                    f"{self.url} was replaced while it was read, and has another index "
                    "now; start again, on data that stay as they are"
                )
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return {
            name: np.frombuffer(mapped, kind, count, offset)
            for name, (kind, count, offset) in about["arrays"].items()
        }


def open_indices(urls: Sequence[str], folder: str | None) -> list[ShardIndex]:
    """The index of every shard; those that are missing or too old are made.

    Args:
      urls: the shards.
      folder: where indices are kept; None: beside the shard, or in the user's cache
        folder for remote shards and where nothing can be written.

    Raises ConfigError for a shard that is missing or no tar archive.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        stamps = list(pool.map(stamp, urls))
        places = [list(_places(url, folder)) for url in urls]
        found = list(pool.map(_find, urls, stamps, places))
    missing = [number for number, index in enumerate(found) if index is None]
    if missing:
        start = jax.process_index() if hosts.together() else 0
        turn = start * len(missing) // (jax.process_count() if start else 1)
        # Each process begins at another shard, and skips what the others have made.
        missing = missing[turn:] + missing[:turn]
        total = sum(stamps[number]["size"] for number in missing)
        say(f"  indexing  {len(missing):,} shards, {total / 1e9:,.2f} GB, once")
        make = functools.partial(_find_or_make, urls, places)
        made = dict(_in_threads(make, missing, _threads(urls)))
        found = [made.get(number, index) for number, index in enumerate(found)]
    return found


def _threads(urls: Sequence[str]) -> int:
    """Reading and checksums leave Python's lock alone; more than cores gain nothing."""
    return THREADS if any(map(is_remote, urls)) else min(THREADS, os.cpu_count() or 1)


def _in_threads(make: Callable, numbers: list[int], threads: int) -> Iterator:
    with ThreadPoolExecutor(threads) as pool:
        work = {pool.submit(make, number): number for number in numbers}
        try:
            for done in track(as_completed(work), len(work), "shards indexed"):
                yield work[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _find_or_make(urls, places, number: int) -> ShardIndex:
    url, tried = urls[number], places[number]
    found = stamp(url)
    return _find(url, found, tried) or _make(url, found, tried)


def cache_folder() -> Path:
    """Where indices lie that cannot lie beside their shard."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "vlp_jax" / "index"


def _places(url: str, folder: str | None) -> Iterator[Path]:
    """Where the index of a shard may lie, the best place first."""
    full = url if is_remote(url) else os.path.abspath(url)
    name = full.split("?")[0].rstrip("/").rpartition("/")[2]
    digest = hashlib.sha256(full.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    if folder is not None:
        yield Path(folder).expanduser() / f"{name}-{digest}{ENDING}"
        return
    if not is_remote(url):
        yield Path(full + ENDING)
    yield cache_folder() / f"{name}-{digest}{ENDING}"


def _find(url: str, found: dict, places: Sequence[Path]) -> ShardIndex | None:
    """The first index that was made of the shard as it is now."""
    for place in places:
        try:
            with open(place, "rb") as file:
                about = _read_header(file)
        except (OSError, ValueError, KeyError):
            continue
        if about["stamp"] == found:
            return ShardIndex(url, str(place), found["size"], about)
    return None


def _make(url: str, found: dict, places: Sequence[Path]) -> ShardIndex:
    try:
        with open_stream(url) as file:
            about, arrays = index_tar(url, file, found["size"])
    except OSError as error:
        raise ConfigError(f"shard {url} cannot be read: {error}") from None
    data = _packed(about | {"stamp": found}, arrays)
    problem = None
    for place in places:
        try:
            _write(place, data)
            return ShardIndex(url, str(place), found["size"], about)
        except OSError as error:
            problem = f"{place}: {error.strerror}"
    raise ConfigError(
        f"the index of {url} can be written nowhere ({problem}); set index to a folder "
        "with room for it"
    )


def _write(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(place)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _packed(about: dict, arrays: dict[str, np.ndarray]) -> bytes:
    """The file; array offsets count from its start."""
    table, offset = {}, 0
    for name, array in arrays.items():
        table[name] = [array.dtype.str, array.size, offset]
        offset += array.nbytes + -array.nbytes % ALIGNED
    # The header's own length moves the arrays: a fixed room for it, found in two tries.
    room = len(FORMAT) + 8 + len(json.dumps(about | {"arrays": table})) + 256
    start = room + -room % ALIGNED
    table = {name: [kind, n, start + at] for name, (kind, n, at) in table.items()}
    header = json.dumps(about | {"arrays": table, "bytes": start + offset}).encode()
    parts = [FORMAT, len(header).to_bytes(8, "little"), header]
    data = bytearray(b"".join(parts).ljust(start))
    for array in arrays.values():
        data += array.tobytes() + bytes(-array.nbytes % ALIGNED)
    return bytes(data)


def _read_header(file) -> dict:
    """What was packed; ValueError where the file is of another form or cut off."""
    if file.read(len(FORMAT)) != FORMAT:
        raise ValueError("not an index of this form")
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    about = json.loads(file.read(min(length, size)))
    if about["bytes"] != size:
        raise ValueError("cut off")
    return about

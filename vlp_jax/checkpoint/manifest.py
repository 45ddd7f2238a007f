"""A list of all files of a step with size and checksum, so that damage is noticed.

orbax restores a file with a flipped bit without a word. The manifest is written before
a step gets its name (see storage.py), so every step on disk has one; it carries the
checksum of itself, and is read back strictly: any change of it is noticed as well.
"""

import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MANIFEST = "manifest.json"
THREADS = 4  # zlib lets others run meanwhile; more read no faster from one disk
CHUNK = 2**20  # bytes


def write_manifest(folder: Path) -> None:
    """Lists what is in a folder that nobody writes to any more; OSError as it comes."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    paths = [path for path in found if path != folder / MANIFEST]
    with ThreadPoolExecutor(THREADS) as pool:
        sums = list(pool.map(_checksum, paths))
    files = {
        path.relative_to(folder).as_posix(): {"size": size, "crc32": crc}
        for path, (size, crc) in zip(paths, sums, strict=True)
    }
    with (folder / MANIFEST).open("w") as file:
        file.write(_text(files))
        file.flush()
        os.fsync(file.fileno())


def damage(folder: Path, items: tuple[str, ...] | None = None) -> str:
    """What is wrong with a step in a line, files named; '' where nothing is.

    items: looks at these sub-folders alone, and at the files beside them. Files that
    are not in the manifest do not matter.
    """
    try:
        files = _read(folder / MANIFEST)
    except OSError as error:
        return f"{MANIFEST} cannot be read: {error.strerror}"
    if files is None:
        return f"{MANIFEST} has another content than was written"
    chosen = {
        name: listed
        for name, listed in files.items()
        if items is None or "/" not in name or name.split("/")[0] in items
    }
    with ThreadPoolExecutor(THREADS) as pool:
        looked = pool.map(lambda name: _wrong(folder / name, chosen[name]), chosen)
        found = {name: said for name, said in zip(chosen, looked, strict=True) if said}
    first = next((f"{name} {said}" for name, said in found.items()), "")
    return first + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")


def _read(path: Path) -> dict[str, dict] | None:
    """The files that a manifest lists; None unless it is byte for byte as written."""
    content = path.read_bytes()
    try:
        files = json.loads(content)["files"]
        return files if _text(files).encode() == content else None
    except (ValueError, KeyError, TypeError):
        return None


def _text(files: dict[str, dict]) -> str:
    crc = zlib.crc32(json.dumps(files, sort_keys=True).encode())
    content = {"crc32": f"{crc:08x}", "files": files}
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _checksum(path: Path) -> tuple[int, str]:
    """(size, CRC-32 in hexadecimal) of a file."""
    size = crc = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return size, f"{crc:08x}"


def _wrong(path: Path, listed: dict) -> str:
    """What differs between a file and its line in the manifest; '' for nothing."""
    try:
        size, crc = _checksum(path)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if size != listed["size"]:
        return f"has {size:,} bytes instead of {listed['size']:,}"
    return "has another content than was written" if crc != listed["crc32"] else ""

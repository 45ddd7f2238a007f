"""The bytes of shards, on this machine's disks or behind a URL.

Remote ones (s3://, gs://, https://, whatever fsspec has a driver for) are read in
blocks that are kept for a while: samples that lie together cost one request.
"""

import os
import stat
import time
from collections.abc import Mapping
from typing import Any, BinaryIO

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.recent import Recent
from vlp_jax.data.shards.names import is_remote

OPEN_FILES = 256
BLOCK = 4 * 2**20  # bytes of a remote request
KEPT_BLOCKS = 32
GAP = 2**16  # bytes that are read for nothing rather than asking twice
TRIES = 3  # of a remote request, the last after three seconds
VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified")
VERSIONS += ("updated", "created")


def file_system(url: str) -> Any:
    """fsspec's driver for a URL, or a ConfigError that says what to install."""
    try:
        import fsspec

        return fsspec.core.url_to_fs(url)[0]
    except ImportError as error:
        raise ConfigError(f"{url} cannot be read yet: {error} (pip install)") from None
    except ValueError as error:
        raise ConfigError(f"{url} cannot be read: {error}") from None


def stamp(url: str) -> dict[str, int | str]:
    """{'size': bytes, 'version': text}: another one once the file has changed.

    The version is the time of the last change, remotely the ETag where there is one.
    Raises ConfigError when there is no such file.
    """
    if is_remote(url):
        return _remote_stamp(url)
    try:
        found = os.stat(url)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"shard {url}: {reason}; correct urls") from None
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"shard {url} is not a file; correct urls")
    return {"size": found.st_size, "version": str(found.st_mtime_ns)}


def _remote_stamp(url: str) -> dict[str, int | str]:
    try:
        info = file_system(url).info(url)
    except ConfigError:
        raise
    except Exception as error:  # every driver has errors of its own
        said = " ".join(str(error).split())[:200]
        problem = f"shard {url}: {type(error).__name__}: {said}"
        raise ConfigError(f"{problem}; correct urls or your access rights") from None
    if not isinstance(info.get("size"), int):
        raise ConfigError(
            f"shard {url}: its server does not say how large it is, so parts of it "
            "cannot be asked for; copy it to a disk"
        )
    version = next((str(info[name]) for name in VERSIONS if info.get(name)), "")
    return {"size": info["size"], "version": version}


def open_stream(url: str) -> BinaryIO:
    """The file, to be read from its start to its end."""
    if is_remote(url):
        return file_system(url).open(url, "rb", block_size=2 * BLOCK)
    return open(url, "rb", buffering=2**20)


class _Descriptor:
    """An open file, closed when nobody has it any more."""

    def __init__(self, path: str):
        self.number = None
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self):
        if self.number is not None:
            os.close(self.number)


class ShardFiles:
    """Reads pieces of shards, from several threads; can be pickled."""

    def __init__(self):
        self._open = Recent(_Descriptor, OPEN_FILES)
        self._blocks = Recent(_load_block, KEPT_BLOCKS)

    def read(self, url: str, offset: int, size: int) -> bytes:
        """Exactly `size` bytes, or BadSample 'image_unreadable' / 'image_truncated'."""
        try:
            if is_remote(url):
                data = self._read_remote(url, offset, size)
            else:
                opened = self._open[url]  # held, or it may be closed meanwhile
                data = os.pread(opened.number, size, offset)
        except MemoryError:
            raise
        except Exception as error:  # OSError here, anything from a driver
            said = f"{url}: {' '.join(str(error).split())[:200]}"
            raise BadSample("image_unreadable", said) from error
        if len(data) < size:
            said = f"{url} ends after {offset + len(data):,} bytes"
            raise BadSample("image_truncated", said)
        return data

    def read_together(
        self, url: str, spans: Mapping[str, tuple[int, int]]
    ) -> dict[str, bytes]:
        """{name: bytes} of {name: (offset, size)}, at once where they lie together."""
        start = min(offset for offset, _ in spans.values())
        end = max(offset + size for offset, size in spans.values())
        wanted = sum(size for _, size in spans.values())
        if end - start > wanted + GAP:
            return {name: self.read(url, *span) for name, span in spans.items()}
        data = self.read(url, start, end - start)
        return {k: data[o - start : o - start + n] for k, (o, n) in spans.items()}

    def _read_remote(self, url: str, offset: int, size: int) -> bytes:
        first, last = offset // BLOCK, max(offset, offset + size - 1) // BLOCK
        joined = b"".join(self._blocks[url, n] for n in range(first, last + 1))
        start = offset - first * BLOCK
        return joined[start : start + size]


def _load_block(key: tuple[str, int]) -> bytes:
    url, number = key
    system, start = file_system(url), number * BLOCK
    for attempt in range(1, TRIES + 1):
        try:
            data = system.cat_file(url, start=start, end=start + BLOCK)
            break
        except FileNotFoundError:
            raise
        except Exception:
            if attempt == TRIES:
                raise
            time.sleep(attempt)  # a passing fault must not look like a bad sample
    if len(data) > BLOCK:
        raise OSError("its server sends the whole file where a part is asked for")
    return data

"""Whether the data are still those that a run began with."""

import zlib
from collections.abc import Iterable, Mapping

from vlp_jax.core.trees import listed


def digest(*parts: str | bytes | int | Iterable) -> str:
    """Eight hexadecimal digits (CRC-32) of texts, bytes, numbers and iterables."""
    return f"{_crc(parts, 0):08x}"


def _crc(thing, crc: int) -> int:
    if isinstance(thing, bytes):
        return zlib.crc32(thing, zlib.crc32(b"%d:" % len(thing), crc))
    if isinstance(thing, str | int | float | None):
        return _crc(str(thing).encode("utf-8", "surrogatepass"), crc)
    for item in thing:
        crc = _crc(item, crc)
    return crc


def difference(saved: Mapping[str, str], found: Mapping[str, str]) -> str:
    """What differs between two fingerprints, in a line; '' where nothing does."""
    return listed(
        {
            "missing": sorted(saved.keys() - found.keys()),
            "new": sorted(found.keys() - saved.keys()),
            "changed": sorted(
                part
                for part in saved.keys() & found.keys()
                if saved[part] != found[part]
            ),
        }
    )

"""Files below a folder that a user names: how large, and nowhere else."""

import os
from pathlib import Path

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.transforms.image import MAX_BYTES

LIMITS = {"image": MAX_BYTES, "caption": 2**20}  # bytes of a file


def read_file(path: Path, kind: str) -> bytes:
    """The bytes of an 'image' or 'caption' file, or a BadSample of that kind."""
    limit = LIMITS[kind]
    try:
        with open(path, "rb") as file:
            # By its size: for read(limit) Python asks for that much memory each time.
            data = file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadSample(f"{kind}_missing", str(path)) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise BadSample(f"{kind}_unreadable", str(error)) from error
    if len(data) > limit:
        cause = "image_too_large" if kind == "image" else "caption_too_long"
        raise BadSample(cause, f"{path}, limit {limit:,} bytes")
    return data


def inside_root(name, where: str) -> str:
    """The normalised path of a picture relative to the root, which it may not leave."""
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{where}: the image is {name!r}; expected a path")
    name = name.strip()
    if "://" in name:
        raise ConfigError(f"{where}: {name!r} is a URL; download the pictures first")
    if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/"):
        problem = f"{where}: {name!r} may lie outside the folder"
        raise ConfigError(f"{problem}; write paths relative to root, without '..'")
    return Path(name).as_posix()

"""Reads features that `python -m vlp_jax.extract` has written, in any format."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.features.columns import Columns, joined
from vlp_jax.features.formats import FORMATS

# Parquet readers that are given the folder pass over names with an underscore.
MANIFEST = "_manifest.json"
MARK, VERSION = "vlp_jax_features", "1"


def manifest(folder: str | Path) -> dict[str, Any]:
    """What is in a folder: checkpoint, data, class names, keys, counts, shards.

    Raises ConfigError where no extraction has come to its end.
    """
    path = Path(folder).expanduser() / MANIFEST
    try:
        found = json.loads(path.read_text())
        version = found[MARK]
    except OSError as error:
        raise ConfigError(
            f"{folder} holds no finished features ({MANIFEST}: {error.strerror}); "
            f"python -m vlp_jax.extract --output={folder} writes them, or goes on"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is damaged; extract into another folder") from None
    if version != VERSION:
        raise ConfigError(f"{path} is of version {version!r}; known: {VERSION!r}")
    return found


def read(folder: str | Path, keys: Sequence[str] | None = None) -> Columns:
    """{key: array} of all shards together; columns.py describes them.

    keys: only these, such as ("image_embedding", "label"). Raises ConfigError for
    others, and where a file is missing or damaged.
    """
    about = manifest(folder)
    chosen = tuple(about["keys"] if keys is None else keys)
    for key in chosen:
        lookup(about["keys"], key, f"key of the features in {folder}:")
    form, found = FORMATS[about["format"]], []
    for shard in about["shards"]:
        if not shard["samples"]:
            continue
        path = Path(folder).expanduser() / shard["file"]
        try:
            columns = form.read(path, chosen)
        except ConfigError:
            raise
        except Exception as error:  # every format has errors of its own
            said = " ".join(str(error).split())[:100]
            raise ConfigError(
                f"{path} cannot be read: {said}; remove it, and the extraction's "
                "command writes it anew"
            ) from None
        found.append(columns)
    return joined(found)

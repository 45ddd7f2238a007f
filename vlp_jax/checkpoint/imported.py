"""A checkpoint that no run has written: one step in a folder of any name."""

import os
import shutil
from pathlib import Path

import orbax.checkpoint as ocp

from vlp_jax.checkpoint.description import FOLDER, FilesHandler, SaveFiles
from vlp_jax.checkpoint.manifest import write_manifest
from vlp_jax.checkpoint.steps import SAVING
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import PyTree


def write_imported(
    folder: Path | str, variables: dict[str, PyTree], files: dict[str, bytes]
) -> None:
    """Writes weights and description, whole or not at all.

    folder: must not be there yet. variables: {'params': ..., ...}. files: those of the
    description (description.py) by their names.
    """
    folder = Path(folder).absolute()
    if folder.exists():
        raise ConfigError(f"{folder} is there already; name another folder")
    half = folder.with_name(f"{folder.name}{SAVING}-{os.getpid()}")
    handler = ocp.CompositeCheckpointHandler(
        model=ocp.StandardCheckpointHandler(), **{FOLDER: FilesHandler()}
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with ocp.Checkpointer(handler) as checkpointer:
            args = {"model": ocp.args.StandardSave(variables), FOLDER: SaveFiles(files)}
            checkpointer.save(half, ocp.args.Composite(**args))
        write_manifest(half)
        half.rename(folder)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(half, ignore_errors=True)

"""What lies beside the weights, so that a checkpoint needs nothing but its path.

<step>/description/config.json          the resolved config of the run
<step>/description/tokenizer/...        the tokenizer's own files
<step>/description/progress.json        counters that travel with the step
<step>/description/data.json            fingerprint of the data it was trained on
<step>/description/answers.json         answers that are classes, where there are any
<step>/description/metrics.json         of the evaluation at this step, if there was one
"""

import json
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from vlp_jax.core.errors import ConfigError, RunError

FOLDER = "description"
SCORES = "metrics.json"


def read_folder(folder: Path | str) -> dict[str, bytes]:
    """{relative path: content} of every file below a folder."""
    folder = Path(folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def to_json(value: Any) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode()


def read_json(step_folder: Path, name: str) -> Any:
    """A JSON file of a checkpoint's description."""
    path = step_folder / FOLDER / name
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"{step_folder} is not a checkpoint of vlp_jax: {FOLDER}/{name} is missing"
        ) from None
    except ValueError:
        raise RunError(
            f"checkpoint {step_folder} is damaged: {FOLDER}/{name} is no JSON. Remove "
            "that folder to use the step before it"
        ) from None


class FilesHandler(ocp.CheckpointHandler):
    """Lets orbax commit plain files together with the arrays of a step."""

    def save(self, directory, args: "SaveFiles") -> None:
        if jax.process_index() != 0:
            return
        for name, content in args.files.items():
            path = Path(directory) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def restore(self, directory, args: Any = None) -> dict[str, bytes]:
        return read_folder(directory)


@ocp.args.register_with_handler(FilesHandler, for_save=True, for_restore=True)
class SaveFiles(ocp.args.CheckpointArgs):
    """{relative path: content} to be written."""

    def __init__(self, files: dict[str, bytes]):
        self.files = files

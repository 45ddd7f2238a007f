"""Folders as clip_benchmark's export leaves them, with pictures of three colours."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.data.tars import BLUE, GREEN, RED, write_tar

PICTURES = {"red": RED, "blue": BLUE, "green": GREEN}


def multi_hot(*values: float, kind: str = "float32") -> bytes:
    """An .npy file as the export writes a tensor of classes."""
    file = io.BytesIO()
    np.save(file, np.array(values, kind))
    return file.getvalue()


def write_folder(
    root: Path,
    truth: Sequence[tuple[str | bytes, str, bytes | str]],
    files: Mapping[str, str],
    per_shard: int = 2,
    split: str = "test",
) -> str:
    """Samples (picture, field, its content) in shards of `per_shard`; texts beside.

    picture: its colour, or the bytes of a file.
    """
    shards = [truth[i : i + per_shard] for i in range(0, len(truth), per_shard)]
    for number, shard in enumerate(shards):
        members = {}
        for place, (picture, field, content) in enumerate(shard):
            key = f"s{number * per_shard + place:07d}"
            data = PICTURES.get(picture, picture)
            members |= {f"{key}.jpg": data, f"{key}.{field}": content}
        write_tar(root / split / f"{number}.tar", members)
    (root / split / "nshards.txt").write_text(f"{len(shards)}\n")
    for name, text in files.items():
        (root / name).write_text(text)
    return str(root)


def classification(root: Path, **more) -> str:
    truth = [("red", "cls", "0"), ("blue", "cls", "1"), ("red", "cls", "0")]
    files = {
        "classnames.txt": "red thing\nblue {c}\n",
        "zeroshot_classification_templates.txt": "a {c}\n {c}, plain.\n",
    }
    return write_folder(root, truth, files, **more)


def multilabel(root: Path) -> str:
    truth = [
        ("red", "npy", multi_hot(1, 0, 0)),
        ("blue", "npy", multi_hot(0, 1, 1, kind="int64")),
        ("green", "npy", multi_hot(0, 0, 0, kind="bool")),
    ]
    names = {"classnames.txt": "red\nblue\ngreen\n", "dataset_type.txt": "multilabel\n"}
    return write_folder(root, truth, names)


def retrieval(root: Path) -> str:
    truth = [
        ("red", "txt", "a red one\nred again"),
        ("blue", "txt", "blue"),
        ("green", "txt", "green\n\nanother green\nlast green"),
    ]
    return write_folder(root, truth, {"dataset_type.txt": "retrieval\n"})

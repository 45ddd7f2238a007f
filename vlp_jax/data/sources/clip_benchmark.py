"""Folders as clip_benchmark's webdataset export writes them, read as they are.

  ROOT/test/nshards.txt, 0.tar, 1.tar, ...         or another split's folder
  ROOT/dataset_type.txt                            retrieval, multilabel, or not there
  ROOT/classnames.txt                              a class a line
  ROOT/zeroshot_classification_templates.txt       a prompt a line, {c} for the class

A sample is key.jpg (png, webp) with key.cls, the number of its class; with key.npy
(multilabel), a number a class that is not zero where it is seen; or with key.txt
(retrieval), a caption a line, blank ones too. https://huggingface.co/clip-benchmark has
the published ones, https://github.com/LAION-AI/CLIP_benchmark the program that makes
them.
"""

import os
from pathlib import Path

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.data.files import LIMITS
from vlp_jax.data.shards.files import open_stream
from vlp_jax.data.shards.index import LABEL, LABELS
from vlp_jax.data.shards.names import MAX_NAMES, is_remote
from vlp_jax.data.shards.store import ShardIndex
from vlp_jax.data.shards.text_fields import Captions
from vlp_jax.data.sources.webdataset import WebDataset

# Type -> the field with the truth.
CAPTIONS = "txt"
TYPES = {"classification": LABEL, "multilabel": LABELS, "retrieval": CAPTIONS}
SHARDS, TYPE = "nshards.txt", "dataset_type.txt"
CLASSES, TEMPLATES = "classnames.txt", "zeroshot_classification_templates.txt"


class ClipBenchmark(WebDataset):
    """A random-access source over one such folder.

    Args:
      root: the folder, or its URL.
      split: the folder in it that holds the shards.
      index: folder for the shards' indices, as `webdataset` has it.

    `type` is a name of TYPES. `class_names` and `templates` are the folder's; both are
    empty where it is for retrieval, `templates` also where it has none. A picture
    without a caption is a sample there, which has none.
    """

    counts_uncaptioned = True  # Retrieval: no text finds such a picture

    def __init__(self, root: str, split: str = "test", index: str | None = None):
        self.root = root if is_remote(root) else str(Path(root).expanduser())
        shards, self.type = self._shards(split), dataset_type(self.root)
        self.label_field = TYPES[self.type]
        self.templates: tuple[str, ...] = ()
        settings = {"captions": CAPTIONS}
        if self.type != "retrieval":
            settings = {"class_names": self._class_names()}
            self.templates = self._templates()
            if self.templates:
                settings["templates"] = self.templates
        super().__init__(shards, index=index, **settings)
        folder = (self.root if is_remote(root) else os.path.abspath(self.root)).rstrip(
            "/"
        )
        self.name = f"clip_benchmark/{folder.rpartition('/')[2]}/{split}"

    def _shards(self, split: str) -> tuple[str, ...]:
        path = f"{self.root}/{split}/{SHARDS}"
        lines = read_lines(path)
        if lines is None:
            raise ConfigError(
                f"no {path}; clip_benchmark's folders hold {SHARDS} and 0.tar, 1.tar, "
                "... in a folder for each split; set root and split"
            )
        lines = list(filter(None, lines))
        count = int(lines[0]) if lines and lines[0].isdecimal() else 0
        if len(lines) != 1 or not 0 < count <= MAX_NAMES:
            raise ConfigError(
                f"{path} holds {lines[:2]}; expected the number of shards"
            )
        return tuple(f"{self.root}/{split}/{number}.tar" for number in range(count))

    def _class_names(self) -> tuple[str, ...]:
        names = read_lines(f"{self.root}/{CLASSES}")
        if not names:
            raise ConfigError(
                f"{self.root} is for classification and needs {CLASSES}, a class a "
                f"line; for retrieval its {TYPE} says 'retrieval'"
            )
        return tuple(names)

    def _templates(self) -> tuple[str, ...]:
        found = list(filter(None, read_lines(f"{self.root}/{TEMPLATES}") or ()))
        for template in found:
            if "{c}" not in template:
                raise ConfigError(
                    f"{self.root}/{TEMPLATES}: {template!r} has no '{{c}}' where the "
                    "class name goes"
                )
        return tuple(template.replace("{c}", "{}") for template in found)

    def _bits(self, index: ShardIndex) -> tuple[int, int]:
        """For retrieval a picture is enough: its text may be blank."""
        pictures, captions = super()._bits(index)
        return pictures, pictures if self.type == "retrieval" else captions

    def _text_fields(self, *_) -> list[str]:
        """A text beside a picture with a label is nothing to us."""
        return [CAPTIONS] if self.type == "retrieval" else []

    def _captions(self, fields: list[str], data: dict, known: dict) -> Captions:
        """Every line as it stands, blank ones too: they count there, and so here."""
        if self.type != "retrieval":
            return super()._captions(fields, data, known)
        if CAPTIONS not in data:
            raise BadSample("caption_missing", CAPTIONS)
        if len(data[CAPTIONS]) > LIMITS["caption"]:
            raise BadSample("caption_too_long", f"{len(data[CAPTIONS]):,} bytes")
        try:
            return Captions(tuple(data[CAPTIONS].decode().splitlines()), ())
        except UnicodeDecodeError as error:
            raise BadSample("caption_unreadable", str(error)) from error

    def _labels(self, member: bytes | None, known: dict) -> tuple:
        """(label, labels) of a sample."""
        if self.type == "classification":
            self._check_class(member)
            return super()._labels(member, known)
        if self.type == "retrieval":
            return None, None
        if member is None:
            raise BadSample("label_unreadable", f"no .{LABELS} member")
        return None, self.classes.from_multi_hot(member)

    def _check_class(self, member: bytes | None) -> None:
        """ConfigError for the number of a class that has no name."""
        said, known = (member or b"").strip(), len(self.class_names)
        if said.isdigit() and int(said) >= known:
            raise ConfigError(
                f"{self.name} has a picture of class {int(said)}, and {CLASSES} names "
                f"{known}, from 0 on; expected the list of this dataset"
            )


def dataset_type(root: str) -> str:
    """A name of TYPES; ConfigError for a dataset_type.txt that says something else."""
    said = " ".join(read_lines(f"{root}/{TYPE}") or ["classification"])
    said = said.strip().lower()
    lookup(TYPES, said, f"type in {root}/{TYPE}")
    return said


def find_folders(root: str, split: str) -> dict[str, str]:
    """{name: path} of the folders that have this split: root itself, or those in it.

    Raises ConfigError where there is none.
    """
    base = Path(root).expanduser()
    if (base / split / SHARDS).is_file():
        return {base.resolve().name: str(base)}
    found = sorted(base.glob(f"*/{split}/{SHARDS}"))
    if not found:
        raise ConfigError(
            f"no folder of clip_benchmark's form in {root!r}: looked for "
            f"{split}/{SHARDS} there and one level below"
        )
    folders = (path.parents[1] for path in found)
    return {folder.name: str(folder) for folder in folders}


def read_lines(path: str) -> list[str] | None:
    """The lines of a small text file without the spaces around them; None without it.

    Raises ConfigError for one that cannot be read.
    """
    try:
        with open_stream(path) as file:
            return [x.strip() for x in file.read().decode("utf-8-sig").splitlines()]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None

"""What the readers of annotated pictures share.

Texts, boxes and numbers lie in flat arrays: as Python objects the five million phrases
of Visual Genome alone would take gigabytes, in every process that reads them.
"""

import collections
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.data.captions import clean_caption
from vlp_jax.data.files import read_file
from vlp_jax.data.fingerprint import digest


class Texts:
    """Strings in one buffer: eight bytes each beside their own."""

    def __init__(self):
        self._bytes, self._ends = bytearray(), array("q", [0])

    def append(self, text: str) -> None:
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        start, end = self._ends[index], self._ends[index + 1]
        return self._bytes[start:end].decode("utf-8", "surrogatepass")

    def digest(self) -> str:
        return digest(bytes(self._bytes), self._ends.tobytes())


class Groups:
    """Which entries belong to which picture.

    Args:
      owners: for each entry the number of its picture, in any order.
      pictures: the numbers of the pictures.

    `groups[k]` are the indices of the entries of the k-th picture, in the order of the
    file. `sizes` [pictures] counts them, `strays` those of no picture.
    """

    def __init__(self, owners: Sequence[int], pictures: Sequence[int]):
        owners, pictures = np.asarray(owners), np.asarray(pictures)
        by_number = np.argsort(pictures, kind="stable")
        place = np.searchsorted(pictures, owners, sorter=by_number)
        owner = by_number[place.clip(max=len(pictures) - 1)]
        known = pictures[owner] == owners
        owner = np.where(known, owner, len(pictures))
        self._entries = np.argsort(owner, kind="stable").astype(np.int32)
        self.sizes = np.bincount(owner, minlength=len(pictures))[: len(pictures)]
        self._starts = np.concatenate(([0], np.cumsum(self.sizes)))
        self.strays = len(owners) - int(known.sum())

    def __getitem__(self, picture: int) -> list[int]:
        start, end = self._starts[picture], self._starts[picture + 1]
        return self._entries[start:end].tolist()


class AnnotatedPictures:
    """Base of the readers: pictures below a root, and entries that belong to them.

    A reader calls `add` for each picture of its files, then `keep`, and answers for
    the picture at an index with what it has kept of the entries.
    """

    name: str
    fingerprint: dict[str, str]
    class_names: tuple[str, ...] = ()
    layout: str  # what lies below root, and who has it

    def __init__(self, root: str):
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            problem = f"no folder {root!r}; set root to the one that holds the data"
            raise ConfigError(f"{problem}\n{self.layout}")
        self.dropped: collections.Counter[str] = collections.Counter()
        self._numbers, self._names = array("q"), Texts()

    def add(self, number: int, name: str) -> None:
        """A picture: its number in the annotations, its path below root."""
        self._numbers.append(number)
        self._names.append(name)

    def keep(self, owners: Sequence[int], cause: str, more: Iterable = ()) -> Groups:
        """Groups the entries; pictures without any are left out under `cause`.

        owners: the pictures that the entries belong to, by number. more: whatever else
        the fingerprint rests on.
        """
        if not len(self._numbers):
            raise ConfigError(f"{self.name}: the annotations list no picture")
        groups = Groups(owners, self._numbers)
        self._kept = np.flatnonzero(groups.sizes).astype(np.int32)
        self.dropped["picture_not_listed"] += groups.strays
        self.dropped[cause] += len(self._numbers) - len(self._kept)
        self.dropped = +self.dropped  # without the zeros
        if not len(self._kept):
            dropped = dict(self.dropped)
            raise ConfigError(f"{self.name}: nothing to read (left out: {dropped})")
        parts = (self._names.digest(), array("q", owners).tobytes(), *more)
        self.fingerprint = {self.name: digest(*parts)}
        return groups

    def __len__(self) -> int:
        return len(self._kept)

    def path(self, name: str) -> Path:
        """Where a picture lies."""
        return self.root / name

    def read(self, index: int) -> tuple[int, str, bytes]:
        """(picture, name, encoded image) of an example; raises BadSample."""
        picture = int(self._kept[index])
        name = self._names[picture]
        return picture, name, read_file(self.path(name), "image")

    def find(self, *names: str) -> Path:
        """The first of these files that is there; ConfigError with the layout."""
        for name in names:
            if (self.root / name).is_file():
                return self.root / name
        wanted = " or ".join(names)
        problem = f"no {wanted} below {str(self.root)!r}"
        raise ConfigError(f"{problem}\n{self.layout}")

    def table(self, name: str) -> Path:
        """A file that the user names, below root or the working directory."""
        tried = (self.root / name, Path(name).expanduser())
        path = next((path for path in tried if path.is_file()), None)
        if path is None:
            places = f"in {str(self.root)!r} and in the working directory"
            raise ConfigError(f"no captions file {name!r}; looked {places}")
        return path


def clean(text: str, dropped: collections.Counter) -> str | None:
    """The text as captions are cleaned; None, and counted, where nothing is left."""
    try:
        return clean_caption(text)
    except BadSample as error:
        dropped[error.cause] += 1
        return None


def chosen_splits(split: str, known: Sequence[str], what: str) -> tuple[str, ...]:
    """The parts of 'train+restval'; ConfigError for one that is not known."""
    parts = tuple(dict.fromkeys(part.strip() for part in split.split("+")))
    for part in parts:
        lookup(dict.fromkeys(known), part, f"split of {what}")
    return parts

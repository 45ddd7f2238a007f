"""A folder of pictures on disk, in any of three layouts.

  captions table   captions='pairs.csv' (or .tsv, with a header, or .jsonl); several
                   rows of one image become one example with several captions
  caption files    dog.jpg with dog.txt beside it, one caption a line
  class folders    root/golden_retriever/*.jpg; the label is the folder

Without a table the layout is found by looking; one caption file makes it the second.
Pictures are not opened before they are asked for (a million checks are slow): a missing
one is a BadSample then.
"""

import collections
import os
from collections.abc import Sequence
from pathlib import Path

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Example
from vlp_jax.data.captions import usable
from vlp_jax.data.class_names import named_classes
from vlp_jax.data.classes import Classes
from vlp_jax.data.files import inside_root, read_file
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.tables import TABLES, cell

ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))


def captions_beside(image: Path) -> tuple[str, ...]:
    """The usable lines of the caption file of a picture; BadSample if there is none."""
    path = image.with_suffix(".txt")
    try:
        text = read_file(path, "caption").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadSample("caption_unreadable", str(path)) from error
    dropped = collections.Counter()
    captions = tuple(usable(text.splitlines(), dropped))
    if not captions:
        raise BadSample(max(dropped, default="caption_missing"), str(path))
    return captions


def caption_list(value, where: str) -> list[str]:
    """The captions of one row: a string, or in JSON also a list of them or null."""
    texts = value if isinstance(value, list) else [value]
    if not all(text is None or isinstance(text, str) for text in texts):
        raise ConfigError(f"{where}: the caption is {value!r}; expected a string")
    return [text or "" for text in texts]


def find_images(root: Path) -> tuple[list[str], set[str]]:
    """(sorted pictures, caption files) below root; links lead to a folder once."""
    images, texts, seen = [], set(), set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = () if real in seen else sorted(visible(folders))
        files = () if real in seen else visible(files)
        seen.add(real)
        prefix = "" if folder == str(root) else os.path.relpath(folder, root) + "/"
        for file in files:
            ending = os.path.splitext(file)[1].lower()
            if ending in ENDINGS:
                images.append(prefix + file)
            elif ending == ".txt":
                texts.add(prefix + file)
    return sorted(images), texts


def visible(names: list[str]) -> list[str]:
    """Without '.ipynb_checkpoints', '._dog.jpg' and what else systems leave behind."""
    return [name for name in names if not name.startswith((".", "__MACOSX"))]


class ImageFolder:
    """A random-access source over a folder; the module lists the layouts.

    Args:
      root: the folder.
      captions: a captions table, relative to root or to the working directory.
      image_column: holds the path of the picture, relative to root.
      caption_column: holds the caption (in JSONL possibly a list of captions).
      templates: captions of class folders; '{}' stands for the class name.
      class_names: names of the class folders in sorted order, for folders such as
        n01440764: names, a set or a text file (class_names.py); the default is the
        folder's name with spaces for '_'.

    `dropped` counts what was left out, by cause.
    """

    def __init__(
        self,
        root: str,
        captions: str | None = None,
        image_column: str = "image",
        caption_column: str = "caption",
        templates: tuple[str, ...] = ("a photo of a {}",),
        class_names: str | Sequence[str] | None = None,
    ):
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise ConfigError(f"no folder {root!r}; set root to an existing one")
        self.name = f"image_folder/{self.root.resolve().name}"
        self.dropped = collections.Counter()
        self.class_names: tuple[str, ...] = ()
        self._captions: list[tuple[str, ...]] | None = None  # None: beside the image
        self._labels: list[int] | None = None
        if not isinstance(captions, str | None):
            raise ConfigError(f"captions is {captions!r}; expected the name of a table")
        if captions is not None:
            self.name += f"/{Path(captions).stem}"
            self._index_table(captions, image_column, caption_column)
            self._take_fingerprint(Path(captions).name)
            return
        images, texts = find_images(self.root)
        if not images:
            endings = " ".join(sorted(ENDINGS))
            raise ConfigError(f"no pictures in {root!r}; looked for {endings}")
        captioned = [i for i in images if os.path.splitext(i)[0] + ".txt" in texts]
        if captioned:
            self._images = captioned
            self.dropped["caption_missing"] += len(images) - len(self._images)
        else:
            self._index_classes(images, tuple(templates), named_classes(class_names))
        self.dropped = +self.dropped  # without the zeros
        self._take_fingerprint("folder")  # whatever its name, here or elsewhere

    def _take_fingerprint(self, part: str) -> None:
        """Names, order and captions; caption files and pictures are not opened."""
        captions, labels = self._captions or (), self._labels or ()
        self.fingerprint = {part: digest(self._images, captions, labels)}

    def _index_table(self, captions: str, image_column: str, caption_column: str):
        tried = (self.root / captions, Path(captions).expanduser())
        path = next((path for path in tried if path.is_file()), None)
        if path is None:
            places = f"in {str(self.root)!r} and in the working directory"
            raise ConfigError(f"no captions table {captions!r}; looked {places}")
        read = lookup(TABLES, path.suffix.lower(), "ending of a captions table")
        grouped: dict[str, list[str]] = {}
        for number, row in read(path):
            where = f"{path}, line {number}"
            image = inside_root(cell(row, image_column, where), where)
            texts = caption_list(cell(row, caption_column, where), where)
            for text in usable(texts, self.dropped):
                grouped.setdefault(image, []).append(text)
        if not grouped:
            dropped = dict(self.dropped)
            raise ConfigError(f"{path} has no usable caption (dropped: {dropped})")
        self._images = list(grouped)
        self._captions = [tuple(texts) for texts in grouped.values()]

    def _index_classes(self, images: list[str], templates, class_names):
        # Every folder counts, an empty one too: labels agree between two splits.
        entries = visible(os.listdir(self.root))
        folders = sorted(entry for entry in entries if (self.root / entry).is_dir())
        self._images = [image for image in images if "/" in image]
        if not self._images:
            raise ConfigError(
                f"{len(images)} pictures in {str(self.root)!r} and no captions; set "
                "captions to a table, put a .txt beside each, or use one folder a class"
            )
        names = class_names or [folder.replace("_", " ") for folder in folders]
        if len(names) != len(folders):
            raise ConfigError(
                f"{len(names)} class_names for {len(folders)} class folders; give one "
                "for each, in sorted order"
            )
        self.dropped["class_missing"] += len(images) - len(self._images)
        self.class_names = tuple(names)
        number = {folder: label for label, folder in enumerate(folders)}
        self._labels = [number[image.split("/")[0]] for image in self._images]
        classes = Classes(self.class_names, templates)
        captions = [classes.captions(label) for label in range(len(names))]
        self._captions = [captions[label] for label in self._labels]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the picture or its caption file cannot be used."""
        name = self._images[index]
        label = None if self._labels is None else self._labels[index]
        path = self.root / name
        captions = self._captions[index] if self._captions else captions_beside(path)
        image = read_file(path, "image")
        return Example(image=image, captions=captions, label=label, name=name)

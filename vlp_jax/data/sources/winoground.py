"""Winoground (Thrush et al. 2022, arXiv:2204.03162), and folders of its form.

https://huggingface.co/datasets/facebook/winoground has examples.jsonl and images.zip.

  root/examples.jsonl          a pair a line: image_0, image_1, caption_0, caption_1;
                               or a table of these columns, .csv or .tsv
  root/images/ex_0_img_0.png   'ex_0_img_0' in the table; or below root itself
"""

import collections
from pathlib import Path

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Example
from vlp_jax.data.captions import clean_caption
from vlp_jax.data.files import inside_root, read_file
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.tables import TABLES, cell

PICTURES = ("image_0", "image_1")
CAPTIONS = ("caption_0", "caption_1")
ENDINGS = ("", ".png", ".jpg")


class Winoground:
    """A random-access source: samples 2k and 2k + 1 are the two halves of pair k.

    Each has a picture, its caption, and in `negatives` the caption of the other.

    Args:
      root: the folder.
      captions: the table, relative to root or to the working directory.
    """

    class_names: tuple[str, ...] = ()

    def __init__(self, root: str, captions: str = "examples.jsonl"):
        self.root = Path(root).expanduser()
        tried = (self.root / captions, Path(captions).expanduser())
        path = next((path for path in tried if path.is_file()), None)
        if path is None:
            raise ConfigError(
                f"no table {captions!r} in {root!r}; expected pairs (image_0, image_1, "
                "caption_0, caption_1) in root/examples.jsonl; set root and captions"
            )
        self.name = f"winoground/{self.root.resolve().name}"
        self.dropped: collections.Counter[str] = collections.Counter()
        self._rows: list[tuple[str, str, str]] = []  # picture, caption, negative
        read = lookup(TABLES, path.suffix.lower(), "ending of a captions table")
        for number, row in read(path):
            self._add(row, f"{path}, line {number}")
        if not self._rows:
            raise ConfigError(
                f"{path} has no usable pair (dropped: {dict(self.dropped)})"
            )
        self.fingerprint = {path.name: digest(self._rows)}

    def _add(self, row: dict, where: str) -> None:
        first, second = (inside_root(cell(row, c, where), where) for c in PICTURES)
        texts = [cell(row, column, where) for column in CAPTIONS]
        if not all(isinstance(text, str) for text in texts):
            raise ConfigError(f"{where}: the captions are {texts}; expected two texts")
        try:
            one, other = map(clean_caption, texts)
        except BadSample as error:
            self.dropped[error.cause] += 1
            return
        self._rows += [(first, one, other), (second, other, one)]

    def _path(self, name: str) -> Path:
        places = [self.root / "images" / name, self.root / name]
        tried = [
            place.with_name(place.name + end) for place in places for end in ENDINGS
        ]
        return next((path for path in tried if path.is_file()), tried[0])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the picture cannot be read."""
        name, caption, negative = self._rows[index]
        return Example(
            image=read_file(self._path(name), "image"),
            captions=(caption,),
            negatives=(negative,),
            name=name,
        )

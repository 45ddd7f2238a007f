"""SugarCrepe (Hsieh et al. 2023, arXiv:2306.14610): captions and hard negatives.

Texts: https://github.com/RAIVNLab/sugar-crepe (data/*.json). Pictures: COCO's '2017 Val
images', https://cocodataset.org/#download.

  root/add_obj.json                  or in sugar_crepe/ or data/ below root; a file each
                                     of add_obj, add_att, replace_obj, replace_att,
                                     replace_rel, swap_obj and swap_att
  root/val2017/000000085329.jpg      or those of val2014
"""

import collections
import json
from pathlib import Path

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.types import Example
from vlp_jax.data.captions import clean_caption
from vlp_jax.data.files import inside_root, read_file
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.json_entries import expected_form
from vlp_jax.data.sources.annotations import chosen_splits
from vlp_jax.data.sources.coco_pictures import CocoPictures

SPLITS = (
    "add_obj",
    "add_att",
    "replace_obj",
    "replace_att",
    "replace_rel",
    "swap_obj",
    "swap_att",
)
PLACES = ("", "sugar_crepe/", "data/")
FORM = '{"0": {"filename", "caption", "negative_caption"}, ...}'


class SugarCrepe:
    """A random-access source: a picture, its caption, and a wrong one in `negatives`.

    Args:
      root: the folder that holds the texts and COCO's pictures.
      split: the name of a file, or several joined with '+'.
    """

    class_names: tuple[str, ...] = ()
    layout = "sugar_crepe reads root/add_obj.json (or another split) and root/val2017"

    def __init__(self, root: str, split: str = "add_obj"):
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise ConfigError(f"no folder {root!r}; set root\n{self.layout}")
        self.name = f"sugar_crepe/{split}"
        self.dropped: collections.Counter[str] = collections.Counter()
        self._rows: list[tuple[str, str, str]] = []  # picture, caption, negative
        for part in chosen_splits(split, SPLITS, "SugarCrepe"):
            self._read(part)
        if not self._rows:
            raise ConfigError(f"{self.name} holds no caption with a negative")
        self.fingerprint = {self.name: digest(self._rows)}
        self._find = CocoPictures(self.root, ["val2017"], self.layout)

    def _read(self, split: str) -> None:
        tried = [self.root / place / f"{split}.json" for place in PLACES]
        path = next((path for path in tried if path.is_file()), None)
        if path is None:
            problem = f"no {split}.json below {str(self.root)!r}"
            raise ConfigError(f"{problem}\n{self.layout}")
        with expected_form(path, FORM):
            for entry in json.loads(path.read_text(encoding="utf-8")).values():
                picture = inside_root(f"val2017/{entry['filename']}", str(path))
                texts = entry["caption"], entry["negative_caption"]
                try:
                    self._rows.append((picture, *map(clean_caption, texts)))
                except BadSample as error:
                    self.dropped[error.cause] += 1

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the picture cannot be read."""
        name, caption, negative = self._rows[index]
        return Example(
            image=read_file(self._find(name), "image"),
            captions=(caption,),
            negatives=(negative,),
            name=name,
        )

"""Where COCO's pictures lie: its annotations are those of many datasets.

The releases of 2014 and 2017 hold the same pictures, divided otherwise and under other
names: train2014/COCO_train2014_000000000009.jpg is train2017/000000000009.jpg. A
picture is found by its number in whichever folders are there.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from vlp_jax.core.errors import ConfigError

FOLDERS = ("train2017", "val2017", "train2014", "val2014", "test2015", "test2017")
PLACES = ("", "images")  # below root
NUMBERED = re.compile(r"(?:COCO_\w+_)?(\d{12}\.jpg)")


def coco_name(folder: str, number: int) -> str:
    """The path of a picture, for example in 'val2014' or 'train2017'."""
    prefix = "" if folder.endswith("2017") else f"COCO_{folder}_"
    return f"{folder}/{prefix}{number:012d}.jpg"


class CocoPictures:
    """Name in the annotations -> path. Folders are listed only if one is not there.

    Args:
      root: the folder that holds COCO's.
      wanted: the folders that the annotations name ('val2014').
      layout: what an error says about the files expected.
    """

    def __init__(self, root: Path, wanted: Iterable[str], layout: str):
        there = {
            folder: root / place / folder
            for place in reversed(PLACES)
            for folder in (*FOLDERS, *wanted)
            if (root / place / folder).is_dir()
        }
        self._root, self._there = root, there
        self._elsewhere: dict[str, str] = {}
        missing = [folder for folder in wanted if folder not in there]
        if not missing:
            return
        if not there:
            problem = f"no folder {missing[0]!r} with pictures in {str(root)!r}"
            raise ConfigError(f"{problem}\n{layout}")
        for folder in there.values():
            for name in filter(NUMBERED.fullmatch, os.listdir(folder)):
                self._elsewhere[name[-16:]] = str(folder / name)

    def __call__(self, name: str) -> Path:
        folder, _, file = name.partition("/")
        if folder in self._there:
            return self._there[folder] / file
        return Path(self._elsewhere.get(file[-16:], self._root / name))

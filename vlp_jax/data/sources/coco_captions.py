"""COCO captions (Chen et al. 2015, arXiv:1504.00325): five captions a picture.

Pictures and official captions: https://cocodataset.org/#download ('2017 Train images',
'2017 Val images', '2017 Train/Val annotations', or those of 2014). The split that
retrieval and captioning are reported on (Karpathy and Fei-Fei 2015) is
dataset_coco.json of
https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip

  root/dataset_coco.json                      Karpathy's: train, restval, val and test
  root/annotations/captions_train2017.json    official: train and val; or 2014
  root/train2017/000000000009.jpg             pictures of either release, for both
  root/train2014/COCO_train2014_000000000009.jpg
"""

import re
from pathlib import Path

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.files import inside_root
from vlp_jax.data.json_entries import entries, expected_form
from vlp_jax.data.sources.annotations import chosen_splits
from vlp_jax.data.sources.captioned import CaptionedPictures, is_karpathys
from vlp_jax.data.sources.coco_pictures import CocoPictures

KARPATHY = ("dataset_coco.json", "annotations/dataset_coco.json")
OFFICIAL = "annotations/captions_{}2017.json", "annotations/captions_{}2014.json"
RELEASE = re.compile(r"(train|val|test)20\d\d")
FORM = "COCO's form: images with id and file_name, annotations with image_id, caption"


class CocoCaptions(CaptionedPictures):
    """A random-access source over COCO captions; the module shows the files.

    Args:
      root: the folder of the pictures.
      split: 'train' (default) or 'val', in Karpathy's file also 'restval' and 'test';
        '+' joins several: models are usually trained on Karpathy's 'train+restval'.
      captions: a file of either form, relative to root or to the working directory;
        one of COCO's form is taken whole. The default is dataset_coco.json where it
        is there, else the official files.
    """

    layout = (
        "coco_captions reads root/annotations/captions_train2017.json, or Karpathy's "
        "root/dataset_coco.json, and root/train2017/*.jpg (https://cocodataset.org)"
    )

    def __init__(
        self, root: str, split: str | None = None, captions: str | None = None
    ):
        super().__init__(root)
        self._folders: set[str] = set()
        there = [self.root / name for name in KARPATHY if (self.root / name).is_file()]
        if captions is not None:
            there = [self.table(captions)]
        self.name = f"coco_captions/{split or 'train'}"
        if there and is_karpathys(there[0]):
            self.add_karpathy(there[0], split or "train", self._name_of)
        elif there:
            self._read_whole(there[0], split)
        else:
            for part in self._official_splits(split or "train"):
                self._read(self.find(*(name.format(part) for name in OFFICIAL)))
        self.finish()
        self._find = CocoPictures(self.root, self._folders, self.layout)

    def path(self, name: str) -> Path:
        return self._find(name)

    def _name_of(self, entry: dict) -> str:
        """Where a picture of Karpathy's file lies: 'val2014' and its name."""
        self._folders.add(entry["filepath"])
        return f"{entry['filepath']}/{entry['filename']}"

    def _official_splits(self, split: str) -> tuple[str, ...]:
        if not {"test", "restval"}.isdisjoint(split.split("+")):
            raise ConfigError(
                f"COCO's own captions have train and val, no {split!r}; for Karpathy's "
                f"splits put dataset_coco.json into {str(self.root)!r}\n{self.layout}"
            )
        return chosen_splits(split, ("train", "val"), "COCO's own captions")

    def _read_whole(self, path: Path, split: str | None) -> None:
        if split is not None:
            raise ConfigError(
                f"split={split!r} has no meaning with captions={str(path)!r}, which is "
                "of COCO's form and has no splits; leave split out"
            )
        self.name = f"coco_captions/{path.stem}"
        self._read(path)

    def _read(self, path: Path) -> None:
        """A file of COCO's form; its name says where the pictures lie."""
        release = RELEASE.search(path.stem)
        folder = f"{release[0]}/" if release else ""
        with expected_form(path, FORM):
            for key, entry in entries(path):
                if key == "images":
                    name = inside_root(folder + entry["file_name"], str(path))
                    self.add(entry["id"], name)
                elif key == "annotations":
                    self.add_caption(entry["image_id"], entry["caption"])
        if release:
            self._folders.add(release[0])

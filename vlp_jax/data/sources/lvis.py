"""LVIS v1 (Gupta et al. 2019, arXiv:1908.03195): 1,203 classes of objects, on COCO.

Annotations: https://www.lvisdataset.org/dataset; pictures: COCO's of 2017 (or 2014),
https://cocodataset.org/#download

  root/lvis_v1_train.json              or lvis_v1_val.json, or below root/annotations/
  root/train2017/000000391895.jpg      LVIS' val has pictures of train2017, too

The captions of a picture are those of the classes that are seen in it.
"""

import math
from array import array
from pathlib import Path

from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Example, Region
from vlp_jax.data.classes import Classes
from vlp_jax.data.files import inside_root
from vlp_jax.data.json_entries import entries, expected_form
from vlp_jax.data.polygons import Polygons
from vlp_jax.data.sources.annotations import AnnotatedPictures
from vlp_jax.data.sources.coco_pictures import CocoPictures

FORM = "LVIS' form: images with coco_url, annotations with bbox, categories with name"
FILES = {"train": "lvis_v1_train.json", "val": "lvis_v1_val.json"}


class Lvis(AnnotatedPictures):
    """A random-access source over LVIS; the module shows the files.

    Labels count the categories in the order of their ids. `class_names` have spaces
    for '_'. Boxes are rounded outwards to whole pixels.

    Args:
      root: the folder of the annotations and of COCO's folders.
      split: 'train' or 'val'.
      templates: captions of a class; '{}' stands for its name.
      masks: keep the outlines (0.4 GB for train) and fill in Region.mask.
    """

    layout = (
        "lvis reads root/lvis_v1_train.json (https://www.lvisdataset.org/dataset) and "
        "COCO's root/train2017/*.jpg, root/val2017/*.jpg"
    )

    def __init__(
        self,
        root: str,
        split: str = "train",
        templates: tuple[str, ...] = ("a photo of a {}",),
        masks: bool = False,
    ):
        super().__init__(root)
        self.name = f"lvis/{split}"
        file = lookup(FILES, split, "split of lvis")
        self._sizes, self._boxes, self._labels = array("i"), array("i"), array("i")
        self._polygons = Polygons() if masks else None
        self._folders: set[str] = set()
        owners = self._read(self.find(file, f"annotations/{file}"))
        self._classes = Classes(self.class_names, tuple(templates))
        more = (self._boxes.tobytes(), self._labels.tobytes(), self.class_names)
        self._of = self.keep(owners, "annotation_missing", more)
        self._find = CocoPictures(self.root, sorted(self._folders), self.layout)

    def path(self, name: str) -> Path:
        return self._find(name)

    def _read(self, path: Path) -> array:
        """All lists of the file, in whatever order; the owners of the annotations."""
        owners, categories = array("q"), {}
        add = {
            "images": lambda entry: self._add_picture(entry, path),
            "annotations": lambda entry: owners.append(self._add_object(entry)),
            "categories": lambda entry: categories.update(
                {entry["id"]: entry["name"].replace("_", " ")}
            ),
        }
        with expected_form(path, FORM):
            for key, entry in entries(path):
                if key in add:
                    add[key](entry)
            label = {number: k for k, number in enumerate(sorted(categories))}
            self._labels = array("i", (label[number] for number in self._labels))
        self.class_names = tuple(categories[number] for number in sorted(categories))
        return owners

    def _add_picture(self, entry: dict, path: Path) -> None:
        folder, name = entry["coco_url"].split("/")[-2:]
        self.add(entry["id"], inside_root(f"{folder}/{name}", str(path)))
        self._folders.add(folder)
        self._sizes.extend((entry["width"], entry["height"]))

    def _add_object(self, entry: dict) -> int:
        x, y, width, height = entry["bbox"]
        right, below = math.ceil(x + width), math.ceil(y + height)
        self._boxes.extend((math.floor(x), math.floor(y), right, below))
        self._labels.append(entry["category_id"])
        if self._polygons is not None:
            self._polygons.append(entry["segmentation"])
        return entry["image_id"]

    def _region(self, picture: int, index: int) -> Region:
        mask = None
        if self._polygons is not None:
            width, height = self._sizes[2 * picture : 2 * picture + 2]
            mask = self._polygons.mask(index, width, height)
        box = tuple(self._boxes[4 * index : 4 * index + 4])
        return Region(box, self._labels[index], mask)

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the picture cannot be read."""
        picture, name, image = self.read(index)
        regions = tuple(self._region(picture, k) for k in self._of[picture])
        labels = dict.fromkeys(region.label for region in regions)
        captions = tuple(c for label in labels for c in self._classes.captions(label))
        return Example(image=image, captions=captions, regions=regions, name=name)

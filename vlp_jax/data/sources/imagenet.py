"""ImageNet (ILSVRC 2012; Russakovsky et al. 2015) and sets in the same folders.

https://image-net.org/download-images (an account is needed), or Kaggle's
'ImageNet Object Localization Challenge', which unpacks to ILSVRC/Data/CLS-LOC.

  root/train/n01440764/n01440764_18.JPEG     or ILSVRC/Data/CLS-LOC/train, ...
  root/val/n01440764/*.JPEG                  sorted into the classes' folders, or flat:
  root/val/ILSVRC2012_val_00000001.JPEG      then with one of these two beside them
      root/LOC_val_solution.csv                                           (Kaggle's)
      root/ILSVRC2012_devkit_t12/data/{meta.mat, ILSVRC2012_validation_ground_truth.txt}

ImageNet-A, -R, -Sketch and subsets are folders of the same form: split is the folder
below root, '.' root itself.
"""

import collections
import os
from array import array
from collections.abc import Sequence
from pathlib import Path

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Example
from vlp_jax.data.class_names import imagenet_names, named_classes, readable
from vlp_jax.data.classes import Classes
from vlp_jax.data.files import read_file
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.json_entries import expected_form
from vlp_jax.data.sources.annotations import Texts
from vlp_jax.data.sources.image_folder import find_images, visible
from vlp_jax.data.tables import cell, delimited_rows, text_lines

PLACES = ("{}", "ILSVRC/Data/CLS-LOC/{}", "ILSVRC2012_img_{}", "ILSVRC2012_{}")
KAGGLE = "LOC_{}_solution.csv"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
DEVKIT = (TRUTH, "meta.mat")
DEVKITS = ("ILSVRC2012_devkit_t12/data", "data", ".")
LAYOUT = (
    "imagenet reads root/train/n01440764/*.JPEG, and root/val/ in such folders or flat "
    "with LOC_val_solution.csv or ILSVRC2012_devkit_t12/ in root (image-net.org)"
)


class ImageNet:
    """A random-access source over ImageNet; the module shows the files.

    Args:
      root: the folder that holds the splits.
      split: 'train', 'val' or another folder of class folders.
      templates: captions of a class; '{}' stands for its name.
      class_names: of the classes in the order of their ids (folders): names, a set
        or a text file (class_names.py); the default is CLIP's names for the 1,000 of
        ILSVRC 2012, and the folder's for others.
    """

    # The prompts of its published zero-shot numbers; captions are another matter.
    templates = "openai_imagenet80"

    def __init__(
        self,
        root: str,
        split: str = "train",
        templates: tuple[str, ...] = ("a photo of a {}",),
        class_names: str | Sequence[str] | None = None,
    ):
        self.root = Path(root).expanduser()
        self.name = f"imagenet/{split}"
        self.dropped: collections.Counter[str] = collections.Counter()
        self._folder = self._find_folder(split)
        images, _ = find_images(self._folder)
        # Every folder counts, an empty one too: labels agree between two splits.
        entries = visible(os.listdir(self._folder))
        classes = sorted(name for name in entries if (self._folder / name).is_dir())
        if classes:
            wordnet_ids = {image: image.split("/")[0] for image in images}
        else:
            classes, wordnet_ids = list(imagenet_names()), self._flat(images, split)
        names = named_classes(class_names) or readable(classes)
        if len(names) != len(classes):
            raise ConfigError(
                f"{len(names)} class_names for {len(classes)} classes of {self.name}; "
                "give one for each, in the order of their ids"
            )
        self.class_names = names
        self._classes = Classes(self.class_names, tuple(templates))
        number = {name: label for label, name in enumerate(classes)}
        self._keep({i: number[w] for i, w in wordnet_ids.items() if w in number})
        if len(self) < len(images):
            self.dropped["class_missing"] = len(images) - len(self)

    def _find_folder(self, split: str) -> Path:
        tried = [self.root / place.format(split) for place in PLACES]
        folder = next((folder for folder in tried if folder.is_dir()), None)
        if folder is None:
            problem = f"no folder {split!r} of pictures in {str(self.root)!r}"
            raise ConfigError(f"{problem}\n{LAYOUT}")
        return folder

    def _flat(self, images: list[str], split: str) -> dict[str, str]:
        """Picture -> WordNet id, for pictures that lie in one folder."""
        solution = KAGGLE.format(split)
        if (self.root / solution).is_file():
            known = kaggle_labels(self.root / solution)
            return {i: known[Path(i).stem] for i in images if Path(i).stem in known}
        for place in DEVKITS:
            if all((self.root / place / name).is_file() for name in DEVKIT):
                known = devkit_labels(self.root / place)
                return {i: w for i in images if (w := known.get(last_number(i)))}
        problem = f"the pictures in {str(self._folder)!r} lie in no class folders"
        wanted = f"no {solution} or {DEVKITS[0]}/{TRUTH} in {str(self.root)!r}"
        raise ConfigError(f"{problem}, and there is {wanted}\n{LAYOUT}")

    def _keep(self, labels: dict[str, int]) -> None:
        if not labels:
            problem = f"{self.name}: no picture with a class in {str(self._folder)!r}"
            raise ConfigError(f"{problem}\n{LAYOUT}")
        self._names, self._labels = Texts(), array("i", labels.values())
        for name in labels:
            self._names.append(name)
        found = digest(self._names.digest(), self._labels.tobytes())
        self.fingerprint = {self.name: found}

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the picture cannot be read."""
        name, label = self._names[index], self._labels[index]
        image = read_file(self._folder / name, "image")
        captions = self._classes.captions(label)
        return Example(image, captions, label=label, name=name)


def kaggle_labels(path: Path) -> dict[str, str]:
    """Picture -> WordNet id, from 'ILSVRC2012_val_00048981,n03995372 85 1 ...'."""
    found = {}
    for number, row in delimited_rows(path):
        where = f"{path}, line {number}"
        boxes = cell(row, "PredictionString", where) or ""
        found[cell(row, "ImageId", where)] = boxes.partition(" ")[0]
    return found


def devkit_labels(folder: Path) -> dict[int, str]:
    """Number of a validation picture -> WordNet id, from the development kit.

    The ground truth numbers the classes in an order of its own, which meta.mat tells.
    """
    from scipy.io import loadmat

    try:
        synsets = loadmat(folder / "meta.mat", squeeze_me=True)["synsets"]
        ids = synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist()
        wordnet_id = {int(n): str(w) for n, w in zip(*ids, strict=True)}
    except Exception as error:  # whatever a file of another form provokes
        problem = f"{folder / 'meta.mat'} cannot be read ({error})"
        raise ConfigError(f"{problem}; unpack the development kit again") from error
    with expected_form(folder / TRUTH, "a number of a class in each line"):
        numbers = [int(line) for line in text_lines(folder / TRUTH)]
        return {k: wordnet_id[number] for k, number in enumerate(numbers, 1)}


def last_number(name: str) -> int | None:
    """48981 for 'ILSVRC2012_val_00048981.JPEG'."""
    digits = Path(name).stem.rpartition("_")[2]
    return int(digits) if digits.isdecimal() else None

"""Pictures with captions of their own, and the form of Karpathy's files.

dataset_coco.json and dataset_flickr30k.json (Karpathy and Fei-Fei 2015) are
  {"images": [{"imgid", "split", "filename", "sentences": [{"raw", ...}], ...}], ...}
"""

from array import array
from collections.abc import Callable
from pathlib import Path

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Example
from vlp_jax.data.files import inside_root
from vlp_jax.data.json_entries import entries, expected_form
from vlp_jax.data.sources.annotations import (
    AnnotatedPictures,
    Texts,
    chosen_splits,
    clean,
)

KARPATHY_FORM = "Karpathy's form: images with filename, split and sentences"


def is_karpathys(path: Path) -> bool:
    """Whether the captions stand in the entries of the pictures."""
    images = (entry for key, entry in entries(path) if key == "images")
    found = next(images, None)
    return isinstance(found, dict) and "sentences" in found


class CaptionedPictures(AnnotatedPictures):
    """Base of the captioned sets: `add`, `add_caption` and at last `finish`."""

    def __init__(self, root: str):
        super().__init__(root)
        self._captions, self._owners = Texts(), array("q")

    def add_caption(self, number: int, text: str) -> None:
        """A caption of picture `number`; counted in `dropped` if it is none."""
        cleaned = clean(text, self.dropped)
        if cleaned is not None:
            self._captions.append(cleaned)
            self._owners.append(number)

    def add_karpathy(
        self, path: Path, split: str, name_of: Callable[[dict], str]
    ) -> None:
        """The pictures of some splits of Karpathy's file, with their captions."""
        known = ("train", "restval", "val", "test")
        wanted, found = set(chosen_splits(split, known, path.name)), set()
        with expected_form(path, KARPATHY_FORM):
            for key, entry in entries(path):
                if key != "images":
                    continue
                found.add(entry["split"])
                if entry["split"] in wanted:
                    self.add(entry["imgid"], inside_root(name_of(entry), str(path)))
                    for sentence in entry["sentences"]:
                        self.add_caption(entry["imgid"], sentence["raw"])
        if not wanted <= found:
            problem = f"{path} has no split {', '.join(sorted(wanted - found))!r}"
            raise ConfigError(f"{problem}; its splits: {', '.join(sorted(found))}")

    def finish(self) -> None:
        """After the last caption: what there is to read."""
        captions = self._captions.digest()
        self._of = self.keep(self._owners, "caption_missing", (captions,))
        del self._owners

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the picture cannot be read."""
        picture, name, image = self.read(index)
        captions = tuple(self._captions[caption] for caption in self._of[picture])
        return Example(image=image, captions=captions, name=name)

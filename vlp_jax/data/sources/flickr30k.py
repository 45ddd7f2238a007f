"""Flickr30k (Young et al. 2014): 31,783 pictures with five captions each.

The pictures are asked for at https://shannon.cs.illinois.edu/DenotationGraph (a form).
The splits everybody uses are Karpathy's: dataset_flickr30k.json of
https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip

  root/dataset_flickr30k.json                 splits train, val and test
  root/results_20130124.token                 the original captions, without splits
  root/flickr30k-images/1000092795.jpg        or flickr30k_images/, or images/
"""

from pathlib import Path

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.files import inside_root
from vlp_jax.data.sources.captioned import CaptionedPictures
from vlp_jax.data.tables import text_lines

FILES = ("dataset_flickr30k.json", "results_20130124.token")
FOLDERS = ("flickr30k-images", "flickr30k_images", "images")


class Flickr30k(CaptionedPictures):
    """A random-access source over Flickr30k; the module shows the files.

    Args:
      root: the folder that holds the folder of the pictures.
      split: 'train' (default), 'val' or 'test', '+' joins several; the .token file
        has none.
      captions: the annotations, relative to root or to the working directory; the
        default is dataset_flickr30k.json, else results_20130124.token.
    """

    layout = (
        "flickr30k reads root/dataset_flickr30k.json (Karpathy's) or "
        "root/results_20130124.token, and root/flickr30k-images/*.jpg"
    )

    def __init__(
        self, root: str, split: str | None = None, captions: str | None = None
    ):
        super().__init__(root)
        path = self.find(*FILES) if captions is None else self.table(captions)
        folder = next((name for name in FOLDERS if (self.root / name).is_dir()), "")
        if path.suffix == ".json":
            self.name = f"flickr30k/{split or 'train'}"
            self.add_karpathy(path, split or "train", lambda entry: entry["filename"])
        elif split is not None:
            raise ConfigError(
                f"{path} has no splits, and split={split!r} is given; leave it out, or "
                "put Karpathy's dataset_flickr30k.json beside it"
            )
        else:
            self.name = "flickr30k/all"
            self._read_tokens(path)
        self.finish()
        self._folder = self.root / folder

    def path(self, name: str) -> Path:
        return self._folder / name

    def _read_tokens(self, path: Path) -> None:
        """Lines of '1000092795.jpg#0<tab>Two young guys ...'."""
        numbers: dict[str, int] = {}
        for line_number, line in enumerate(text_lines(path), 1):
            where = f"{path}, line {line_number}"
            image, tab, caption = line.rstrip("\r\n").partition("\t")
            name = image.rpartition("#")[0]
            if not tab or not name:
                expected = "a line such as '1000092795.jpg#0<tab>a caption'"
                raise ConfigError(f"{where}: {image[:80]!r}; expected {expected}")
            if name not in numbers:
                numbers[name] = len(numbers)
                self.add(numbers[name], inside_root(name, where))
            self.add_caption(numbers[name], caption)

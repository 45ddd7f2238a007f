"""What sources have in common that read files of records with named columns."""

import abc
from collections.abc import Sequence

from vlp_jax.data.class_names import named_classes
from vlp_jax.data.classes import Classes
from vlp_jax.data.columns import Columns
from vlp_jax.data.shards.names import common_folder, find_shards


class RecordFiles(abc.ABC):
    """The files that `urls` names, and which columns hold what.

    A kind of file sets `kind` and `ending`, opens the files, and reads records.

    Args:
      urls: the files: a folder, 'DIR/train-{00000..00063}.parquet', a pattern.
      image_column: the column with the encoded picture.
      caption_column: the column with the text or texts.
      label_column: the column with the number of the class.
      class_names: names of the labels, a set or a text file (class_names.py); records
        without captions are then captioned from `templates`.
      templates: captions of labels; '{}' stands for the class name.
    """

    kind: str
    ending: str

    def __init__(
        self,
        urls: str | Sequence[str],
        image_column: str = "image",
        caption_column: str = "caption",
        label_column: str | None = None,
        class_names: str | Sequence[str] | None = None,
        templates: tuple[str, ...] = ("a photo of a {}",),
    ):
        self._urls = find_shards(urls, self.ending)
        folder, self._names = common_folder(self._urls)
        self.name = f"{self.kind}/{folder.rpartition('/')[2]}"
        self.class_names = named_classes(class_names)
        classes = Classes(self.class_names, tuple(templates))
        self.columns = Columns(image_column, caption_column, label_column, classes)
        self._open_files()

    @abc.abstractmethod
    def _open_files(self) -> None:
        """Looks at every file; ConfigError for one that cannot be read."""

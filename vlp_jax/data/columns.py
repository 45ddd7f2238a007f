"""From the columns of a record to an Example."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.lookup import suggestion
from vlp_jax.core.types import Example
from vlp_jax.data.captions import usable
from vlp_jax.data.classes import Classes
from vlp_jax.data.files import LIMITS


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which columns hold what.

    image: bytes of a picture, or {'bytes': ..., 'path': ...} as Hugging Face datasets
    have it. caption: a text or several. label: a number. With `classes`, records
    without a caption column are captioned by their label.
    """

    image: str
    caption: str
    label: str | None
    classes: Classes

    def used(self, known: Collection[str], where: str) -> list[str]:
        """Those to read of the columns that there are, or a ConfigError."""
        wanted = {"image_column": self.image, "label_column": self.label}
        if not (self.label and self.classes.names):
            wanted["caption_column"] = self.caption
        for setting, column in wanted.items():
            if column is not None and column not in known:
                raise ConfigError(
                    f"{where} has no column {column!r}; there are: "
                    f"{', '.join(sorted(known))}; set {setting}"
                    f"{suggestion(column, known)}"
                )
        columns = (self.image, self.caption, self.label)
        return [column for column in columns if column in known]

    def example(self, record: Mapping[str, Any], name: str) -> Example:
        """Raises BadSample where the record has no picture, or no usable text."""
        label = self._label(record)
        if self.caption in record or label is None or not self.classes.names:
            captions = self._captions(record.get(self.caption))
        else:
            captions = self.classes.captions(label)
        return Example(self._image(record), captions, label=label, name=name)

    def _image(self, record: Mapping[str, Any]) -> bytes:
        image = first(record.get(self.image))
        if isinstance(image, dict):
            image = image.get("bytes")
        if image is None:
            raise BadSample("image_missing", f"nothing in {self.image!r}")
        if not isinstance(image, bytes):
            said = f"{self.image!r} holds {type(image).__name__}, expected bytes"
            raise BadSample("image_unreadable", said)
        if len(image) > LIMITS["image"]:
            raise BadSample("image_too_large", f"{len(image):,} bytes")
        return image

    def _captions(self, value: Any) -> tuple[str, ...]:
        values = value if isinstance(value, list | tuple) else [value]
        dropped, texts = Counter(), []
        for text in values:
            if isinstance(text, bytes) and len(text) <= LIMITS["caption"]:
                try:
                    texts.append(text.decode())
                except UnicodeDecodeError:
                    dropped["caption_unreadable"] += 1
            elif isinstance(text, bytes):
                dropped["caption_too_long"] += 1
            elif isinstance(text, str):
                texts.append(text)
        captions = tuple(usable(texts, dropped))
        if not captions:
            raise BadSample(max(dropped, default="caption_missing"), self.caption)
        return captions

    def _label(self, record: Mapping[str, Any]) -> int | None:
        value = None if self.label is None else first(record.get(self.label))
        label = value if isinstance(value, int) else None
        return label if self.label is None else self.classes.check(label, value)


def first(value: Any) -> Any:
    """Of a list of one (as tf.train.Example keeps everything) what is in it."""
    if isinstance(value, list) and len(value) <= 1:
        return value[0] if value else None
    return value

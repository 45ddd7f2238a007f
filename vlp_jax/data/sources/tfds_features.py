"""Which features of a TFDS dataset are the picture, its captions and its label."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import suggestion

Path = tuple[str, ...]  # of a feature: ('captions', 'text')
CAPTIONS = {"caption", "captions", "text", "sentences", "description"}


class Features:
    """The features of a dataset, by their dotted names.

    Args:
      tfds: the package.
      features: builder.info.features.
      name: of the dataset, for errors.
    """

    def __init__(self, tfds: Any, features: Any, name: str):
        self._kinds, self._name = tfds.features, name
        found = {
            ".".join(path): (path, feature, within)
            for path, feature, within in self._walk(features, (), False)
        }
        self._found = dict(sorted(found.items()))  # TFDS has them in any order

    def _walk(self, feature, path: Path, within: bool) -> Iterator[tuple]:
        """(path, feature, whether it lies in a sequence) of every leaf."""
        if isinstance(feature, self._kinds.FeaturesDict):
            for key, inner in feature.items():
                yield from self._walk(inner, (*path, key), within)
        elif isinstance(feature, self._kinds.Sequence):
            yield from self._walk(feature.feature, path, True)
        else:
            yield path, feature, within

    def image(self, chosen: str | None) -> Path:
        """The path of the picture."""
        pictures = self._of_kind(self._kinds.Image)
        if chosen is not None or not pictures:
            return self._chosen(chosen or "", pictures, "image_column")
        if "image" in pictures or len(pictures) == 1:
            return pictures.get("image") or next(iter(pictures.values()))
        return self._chosen("", pictures, "image_column")

    def caption(self, chosen: str | None) -> Path | None:
        """The path of the captions: a text, or a sequence of them."""
        texts = {
            name: path
            for name, (path, feature, _) in self._found.items()
            if getattr(feature, "np_dtype", None) in (np.object_, np.dtype(object))
            or isinstance(feature, self._kinds.Text)
        }
        if chosen is not None:
            return self._chosen(chosen, texts, "caption_column")
        likely = {name: path for name, path in texts.items() if CAPTIONS & {*path}}
        if len(likely) > 1:
            return self._chosen("", likely, "caption_column")
        return next(iter(likely.values()), None)

    def label(self, chosen: str | None) -> Path | None:
        """The path of the label; None where several could be meant."""
        labels = self._of_kind(self._kinds.ClassLabel)
        if chosen is not None:
            return self._chosen(chosen, labels, "label_column")
        if len(labels) == 1:
            return next(iter(labels.values()))
        return labels.get("label")

    def class_names(self, path: Path) -> tuple[str, ...]:
        """The names of a label's classes."""
        return tuple(self._found[".".join(path)][1].names)

    def listed(self) -> str:
        """All names, for an error."""
        return ", ".join(self._found)

    def encoded(self, skip: Any) -> dict:
        """TFDS' decoders that leave every picture as the bytes of its file."""
        decoders: dict = {}
        for path in self._of_kind(self._kinds.Image).values():
            place = decoders
            for key in path[:-1]:
                place = place.setdefault(key, {})
            place[path[-1]] = skip
        return decoders

    def _of_kind(self, kind: type) -> dict[str, Path]:
        return {
            name: path
            for name, (path, feature, within) in self._found.items()
            if isinstance(feature, kind) and not within
        }

    def _chosen(self, name: str, among: dict[str, Path], setting: str) -> Path:
        if name in among:
            return among[name]
        if not among:
            problem = f"{self._name} has no feature that {setting} could name"
            raise ConfigError(f"{problem}; there are: {self.listed()}")
        given = f"{setting}={name!r} is not one" if name else "it is not clear which"
        raise ConfigError(
            f"{self._name}: {given} to take; set {setting} to one of: "
            f"{', '.join(among)}{suggestion(name, among) if name else ''}"
        )

"""The pictures that a page searches: files below a folder, or digit scenes.

Each has a `name`, what tells it from others (`identity`), `names` of its pictures, a
`stamp` of each that changes with the picture, `read`, and what the page suggests.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.files import read_file
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.data.sources.image_folder import ENDINGS, find_images
from vlp_jax.evaluation import prompts

SCENES = 500  # of the test split, as many as the quickstart is evaluated on


@dataclasses.dataclass(frozen=True)
class Suggestions:
    """What fields of the page hold or hint at before anyone has typed."""

    example: str = "a dog on a beach"
    question: str = "what is in the picture?"
    labels: tuple[str, ...] = ()
    prompts: str = prompts.USUAL  # a set of prompt templates
    texts: tuple[str, ...] = ()
    note: str = ""  # what to know of the pictures


class Pictures(Protocol):
    """What the module describes."""

    name: str
    identity: str
    names: tuple[str, ...]
    suggestions: Suggestions

    def stamp(self, number: int) -> tuple[int, int]: ...

    def read(self, number: int) -> Any: ...


class PictureFolder:
    """Pictures below a folder, by their paths; ConfigError where there are none."""

    suggestions = Suggestions()

    def __init__(self, root: str):
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise ConfigError(
                f"--images={root}: no such folder; name one with pictures, or leave "
                "the flag out to see digit scenes"
            )
        self.name = str(root)
        self.identity = f"folder {self.root.resolve()}"
        self.names = tuple(find_images(self.root)[0])
        if not self.names:
            raise ConfigError(
                f"--images={root}: no pictures in it or below; looked for "
                f"{' '.join(sorted(ENDINGS))}"
            )

    def stamp(self, number: int) -> tuple[int, int]:
        """Size in bytes and time of the last change, ns; (-1, -1) of what is gone."""
        try:
            found = os.stat(self.root / self.names[number])
        except OSError:
            return -1, -1
        return found.st_size, found.st_mtime_ns

    def read(self, number: int) -> bytes:
        """The bytes of the file, or a BadSample."""
        return read_file(self.root / self.names[number], "image")


class ScenePictures:
    """Digit scenes that no training has seen, for a first look without any files."""

    name = "digit scenes, test split"

    def __init__(self, size: int = SCENES):
        source = self._source = DigitScenes(split="test", size=size)
        self.identity = f"{source.name} {digest(source.fingerprint.items())}"
        self.names = tuple(f"scene {number}" for number in range(size))
        captions = [source[number].captions[0] for number in range(size)]
        single = next(i for i in range(size) if len(source.scene(i).digits) == 1)
        self.suggestions = Suggestions(
            example=captions[single],
            question="what colour is the digit?",
            labels=source.class_names,
            prompts="digit_scenes",
            texts=tuple(captions),
            note="Digit scenes are made from scanned digits and come along, for a "
            "first look; --images=DIR shows a folder of yours.",
        )

    def stamp(self, number: int) -> tuple[int, int]:
        """Always the same: a scene is a function of its number."""
        return 0, 0

    def read(self, number: int) -> np.ndarray:
        return self._source[number].image

"""Datasets on disk as they are published, and scenes of digits to fill them with."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.order import Order
from vlp_jax.data.questions import QuestionSamples
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.data.transforms.crop import WholePicture
from vlp_jax.data.transforms.image import Preprocessing


def jpeg(index: int) -> bytes:
    """A small picture, another one for every index."""
    file = io.BytesIO()
    scene = DigitScenes(size=1000, canvas=24)[index]
    Image.fromarray(scene.image).save(file, "JPEG")
    return file.getvalue()


def cause_of(source, index: int) -> str:
    """Why an example cannot be read."""
    with pytest.raises(BadSample) as caught:
        source[index]
    return caught.value.cause


class Sampled(QuestionSamples):
    """Samples of questions whose tokens are letters."""

    def said(self, sample: dict) -> str:
        """'question answer' of a sample."""
        return " ".join(
            "".join(map(chr, sample[f"{what}_tokens"][sample[f"{what}_mask"]]))
            for what in ("text", "answer")
        )


def letters(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.zeros((len(texts), 40), np.int32)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = [ord(letter) for letter in text]
    return tokens, tokens > 0


def sampled(source, classes: tuple[str, ...]) -> Sampled:
    """Samples of the questions of a source; their pictures are whole."""
    order, images = Order(len(source), 0), WholePicture(Preprocessing(image_size=16))
    return Sampled(source, order, images, letters, 0, letters, classes)


class Disk(NamedTuple):
    """A folder to write a dataset into."""

    root: Path

    def json(self, name: str, content) -> Path:
        return self.bytes(name, json.dumps(content).encode())

    def bytes(self, name: str, content: bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def pictures(self, *names: str) -> None:
        """Picture k of the names is jpeg(k)."""
        for index, name in enumerate(names):
            self.bytes(name, jpeg(index))

    def refused(self, source: Callable, **settings) -> str:
        """What a source says that cannot be opened, in two lines at most."""
        with pytest.raises(ConfigError) as caught:
            source(str(self.root), **settings)
        assert str(caught.value).count("\n") <= 1
        return str(caught.value)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Indices of remote shards belong to a test, not to who runs it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def disk(tmp_path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture(scope="module")
def test_split() -> DigitScenes:
    return DigitScenes(split="test", size=500)


@pytest.fixture(scope="module", params=["train", "test"])
def examples(request):
    source = DigitScenes(split=request.param, size=200)
    return [(source.scene(index), source[index]) for index in range(200)]

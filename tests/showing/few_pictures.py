"""A model that is none: pictures of one colour, and texts that name the colour."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.transforms.image import Preprocessing

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def save(folder: Path, *names: str) -> Path:
    """Pictures of the colours that their names begin with."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        colour = COLOURS[name.partition("_")[0].partition(".")[0]]
        Image.new("RGB", (12, 8), colour).save(folder / name)
    return folder


class Colours:
    """What a page asks of an encoder; its embeddings are mean colours."""

    logit_scale, batch_size = 4.0, 2
    class_names = tuple(COLOURS)

    def __init__(self, *abilities: str):
        self.abilities, self.encoded = abilities, 0
        self.prepare_image = Preprocessing(image_size=8)

    def can(self, name: str) -> bool:
        return name in self.abilities

    def encode_image(self, pictures) -> np.ndarray:
        means = [self.prepare_image(x).mean(axis=(0, 1)) for x in pictures]
        self.encoded += len(means)
        found = np.array(means, np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def encode_text(self, texts: Sequence[str], progress: bool = False) -> np.ndarray:
        rows = [[colour in text for colour in COLOURS] for text in texts]
        found = np.array(rows, np.float32).reshape(-1, len(COLOURS))
        return found / np.linalg.norm(found, axis=1, keepdims=True).clip(1e-6)

    def classify(self, pictures) -> np.ndarray:
        return self.encode_image(pictures)

    def match(self, pictures, texts: Sequence[str]) -> np.ndarray:
        return self.encode_text(texts) @ self.encode_image(pictures)[0]

    def generate(self, pictures, prompt: str) -> list[str]:
        return ["<b>picture</b>" for _ in pictures]

    def answer(self, pictures, questions: Sequence[str]) -> list[str]:
        if "refuse" in questions[0]:
            raise ConfigError("the model refuses <i>this</i>; ask another")
        return [f"<{question}>" for question in questions]

    def attention_map(self, picture, text: str, word: str) -> np.ndarray:
        return np.arange(4, dtype=np.float32).reshape(2, 2)

"""Encodes pictures and texts with the programs in this folder.

Needs jax, numpy, pillow, tokenizers and safetensors; nothing else of what trained them.

    from serve import Model
    model = Model("FOLDER")
    image = model.encode_image([PIL.Image.open("picture.jpg")])   # float32 [n, E]
    text = model.encode_text(["a cat", "a dog"])                  # float32 [n, E]
    logits = model.scale * image @ text.T + model.bias
"""

import json
from pathlib import Path

import jax
import numpy as np
from PIL import Image
from safetensors.numpy import load_file
from tokenizers import Tokenizer


class Model:
    """Embeddings have length one; any number of pictures or texts may be given."""

    def __init__(self, folder=Path(__file__).parent):
        folder = Path(folder)
        self.about = json.loads((folder / "about.json").read_text())
        self.scale, self.bias = self.about["scale"], self.about["bias"]
        self._weights = jax.device_put(load_file(folder / "weights.safetensors"))
        self._image, self._text = (
            jax.export.deserialize((folder / name).read_bytes())
            for name in ("image.bin", "text.bin")
        )
        self._width = self._image.out_avals[0].shape[-1]
        length = self.about["length"]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(length)
        self._tokenizer.enable_padding(length=length, pad_id=self.about["pad_id"])
        self._tokenizer.encode_special_tokens = True

    def encode_image(self, pictures):
        one = isinstance(pictures, Image.Image)
        pictures = [pictures] if one else list(pictures)
        if not pictures:
            return np.zeros((0, self._width), np.float32)
        pixels = np.stack([self.prepare(picture) for picture in pictures])
        return np.asarray(self._image.call(self._weights, pixels))

    def encode_text(self, texts):
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts:
            return np.zeros((0, self._width), np.float32)
        found = self._tokenizer.encode_batch(texts)
        tokens = np.array([one.ids for one in found], np.int32)
        mask = np.array([one.attention_mask for one in found], bool)
        return np.asarray(self._text.call(self._weights, tokens, mask))

    def prepare(self, picture):
        """uint8 [S, S, 3] of a Pillow image, as the model was evaluated with."""
        size, picture = self.about["image_size"], picture.convert("RGB")
        how = Image.Resampling[self.about["interpolation"].upper()]
        if self.about["resize"] == "squash":
            return np.array(picture.resize((size, size), how))
        offset = int if self.about["resize"] == "shortest_floor" else round
        width, height = picture.size
        long = int(size * max(width, height) / min(width, height))
        width, height = (size, long) if width <= height else (long, size)
        picture = picture.resize((width, height), how)
        left, top = offset((width - size) / 2), offset((height - size) / 2)
        return np.array(picture.crop((left, top, left + size, top + size)))


if __name__ == "__main__":
    model = Model()
    image = model.encode_image([Image.new("RGB", (64, 48))])
    text = model.encode_text(["a picture", "another picture"])
    print(f"1 picture and {len(text)} texts encoded, {text.shape[1]} numbers each")
    print("logits", model.scale * image @ text.T + model.bias)

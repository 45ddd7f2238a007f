"""Models that know the truth or guess, and sources with bad samples."""

import zlib

import numpy as np

from vlp_jax.core.errors import BadSample


class FakePredictor:
    """Embeds texts, and pictures by what `pictures` says they mean (or their bytes)."""

    def __init__(self, embed, pictures=None, batch_size=256):
        self.embed, self.pictures = embed, pictures or {}
        self.batch_size = batch_size
        self.batch_sizes = []

    def prepare_image(self, image):
        if isinstance(image, bytes):
            raise BadSample("image_truncated")
        return image

    def encode_image(self, pictures):
        assert pictures.dtype == np.uint8 and pictures.shape[3] == 3
        self.batch_sizes.append(len(pictures))
        meanings = [self.pictures.get(p.tobytes(), p.tobytes()) for p in pictures]
        return np.stack([self.embed(meaning) for meaning in meanings])

    def encode_text(self, texts):
        return np.stack([self.embed(text) for text in texts])


def random_embedding(meaning):
    raw = meaning if isinstance(meaning, bytes) else meaning.encode()
    vector = np.random.default_rng(zlib.crc32(raw)).normal(size=64).astype(np.float32)
    return vector / np.linalg.norm(vector)


def knows(meanings):
    """An embedding that is the one-hot index of the first key the text contains."""

    def embed(meaning):
        hit = next(i for key, i in meanings.items() if key in meaning)
        return np.eye(max(meanings.values()) + 1, dtype=np.float32)[hit]

    return embed


class Wrapped:
    """A source whose samples at some indices are replaced, or raise."""

    def __init__(self, source, replaced, class_names=None):
        self.source, self.replaced = source, replaced
        self.name = "wrapped"
        self.class_names = source.class_names if class_names is None else class_names

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        sample = self.replaced.get(index) or self.source[index]
        if isinstance(sample, Exception):
            raise sample
        return sample

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

    def can(self, ability):
        return ability == "embed"

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


class Able:
    """Does what it is given a function for, on pictures that it knows the number of.

    Args:
      pictures: what is known, in order. A picture's only token is its number.
      match: (number, text) -> probability. attend: (picture, text, word) -> heat.
      generate: (number, settings) -> text.
      answer: (number, question, candidates) -> text. embed: as of FakePredictor, of a
        number or a text. classify: (number, prompts) -> scores. classify_text: text ->
        scores.
    """

    def __init__(self, pictures, batch_size=16, **abilities):
        self.numbers = {p.tobytes(): n for n, p in enumerate(pictures)}
        self.batch_size, self.abilities = batch_size, abilities
        self.asked = {name: [] for name in ("tokens", *abilities)}  # rows of each call

    def can(self, ability):
        return ability in self.abilities

    def prepare_image(self, image):
        if isinstance(image, bytes):
            raise BadSample("image_truncated")
        return image

    def _all(self, ability, *columns):
        self.asked[ability].append(len(columns[0]))
        assert len(columns[0]) <= self.batch_size
        return [self.abilities[ability](*row) for row in zip(*columns, strict=True)]

    def _number(self, pictures):
        return [self.numbers[picture.tobytes()] for picture in pictures]

    def encode_image(self, pictures):
        return np.stack([self.abilities["embed"](n) for n in self._number(pictures)])

    def encode_text(self, texts):
        return np.stack([self.abilities["embed"](text) for text in texts])

    def classify(self, pictures, prompts=()):
        numbers = self._number(pictures)
        return np.stack([self.abilities["classify"](n, prompts) for n in numbers])

    def classify_text(self, texts):
        return np.stack([self.abilities["classify_text"](text) for text in texts])

    def image_tokens(self, pictures):
        self.asked["tokens"].append(len(pictures))
        assert len(pictures) <= self.batch_size
        return np.float32(self._number(pictures))[:, None, None]

    def match(self, image_tokens, texts):
        numbers = image_tokens[:, 0, 0].astype(int).tolist()
        return np.float32(self._all("match", numbers, texts))

    def attention_map(self, picture, text, word):
        return self.abilities["attend"](picture, text, word)

    def generate(self, pictures, **decoding):
        numbers = self._number(pictures)
        return self._all("generate", numbers, [decoding] * len(numbers))

    def answer(self, pictures, questions, candidates=None):
        numbers = self._number(pictures)
        return self._all("answer", numbers, questions, [candidates] * len(numbers))


class Samples:
    """Examples as they are; an exception in their place is raised."""

    name, class_names = "samples", ()

    def __init__(self, *examples):
        self.examples = examples

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        if isinstance(self.examples[index], Exception):
            raise self.examples[index]
        return self.examples[index]

    @property
    def pictures(self):
        """Of the examples that can be read."""
        return [getattr(example, "image", np.zeros(0)) for example in self.examples]


def plain(number):
    """A picture that shows nothing but its number."""
    return np.full((4, 4, 3), number, np.uint8)

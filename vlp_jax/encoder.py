"""A model for Python and notebooks: pictures and strings in, embeddings out.

Or, of a model that can, matches, captions and answers.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from vlp_jax import endpoints
from vlp_jax.adapting import class_names_of, template_of
from vlp_jax.core.class_prompts import OWN, check_template, fill
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.logs import track
from vlp_jax.models.pictures import check_pairs
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.portable import Portable

Picture = str | os.PathLike | bytes | np.ndarray | Any  # or a Pillow image


class Encoder:
    """Works on all devices of this process.

    A picture is a path, encoded bytes, a uint8 array [H, W, 3] or a Pillow image.
    ConfigError names the one that cannot be read, or what a model cannot do (see
    `can`).

    Args:
      model: from an endpoint (see `load`).
      batch_size: pictures or texts of one call of the model.

    `logit_scale` and `logit_bias` (1 and 0 without them) turn cosines into logits.
    """

    def __init__(self, model: Portable, batch_size: int = 64):
        self.model, self.name = model, model.name
        self.logit_scale = float(np.exp(model.parameters.get("logit_scale", 0.0)))
        self.logit_bias = float(model.parameters.get("logit_bias", 0.0))
        self._predictor = model.predictor(MeshSpec().make(), batch_size)

    @property
    def batch_size(self) -> int:
        """That asked for, rounded up to what the devices divide."""
        return self._predictor.batch_size

    def prepare_image(self, picture: bytes | np.ndarray | Any) -> np.ndarray:
        """A picture as the model sees it, uint8 [S, S, 3], from what encodes it.

        Raises BadSample. What comes out may be given to the model in its place.
        """
        return self._predictor.prepare_image(picture)

    def encode_image(
        self, pictures: Picture | Iterable[Picture], progress: bool = False
    ) -> Float[np.ndarray, "n embedding"]:
        """L2-normalised float32 [n, E] of one picture or several."""
        prepared, size = self._prepared(pictures), self._predictor.batch_size
        starts = range(0, len(prepared), size)
        found = [
            self._predictor.encode_image(prepared[start : start + size])
            for start in _shown(starts, progress, "pictures encoded")
        ]
        return np.concatenate(found) if found else self._nothing()

    def encode_text(
        self, texts: str | Sequence[str], progress: bool = False
    ) -> Float[np.ndarray, "n embedding"]:
        """L2-normalised float32 [n, E] of one string or several."""
        listed, size = _strings(texts, "encode_text"), self._predictor.batch_size
        starts = range(0, len(listed), size)
        found = [
            self._predictor.encode_text(listed[start : start + size])
            for start in _shown(starts, progress, "texts encoded")
        ]
        return np.concatenate(found) if found else self._nothing()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that the model was trained to tell apart; () where it was not."""
        return class_names_of(self.model.config)

    def classify(
        self,
        pictures: Picture | Iterable[Picture],
        labels: Sequence[str] = (),
        template: str | None = None,
    ) -> Float[np.ndarray, "n labels"]:
        """Probabilities of labels, float32 [n, labels]; without labels of class_names.

        A model with a head has no others. One that compares pictures with prompts takes
        any; template: of a prompt, None: that of its training.
        """
        template = template or template_of(self.model.config)
        check_template(template)
        fixed = not self.can("embed") or OWN.search(template)
        if labels and fixed and tuple(labels) != self.class_names:
            raise ConfigError(
                f"{self.name} tells its own {len(self.class_names)} classes apart "
                f"({', '.join(self.class_names[:3])}, ...); leave the labels out"
            )
        prompts = fill(template, tuple(labels) or self.class_names)
        if not prompts:
            raise ConfigError(
                f"{self.name} was not trained to tell classes apart; give labels"
            )
        prepared, size = self._prepared(pictures), self._predictor.batch_size
        found = [np.zeros((0, len(prompts)), np.float32)]
        for start in range(0, len(prepared), size):
            part = prepared[start : start + size]
            found.append(softmax(self._predictor.classify(part, prompts), axis=1))
        return np.concatenate(found)

    def classify_text(self, texts: str | Sequence[str]) -> Float[np.ndarray, "n class"]:
        """Probabilities of class_names for one text or more, float32 [n, classes]."""
        listed = _strings(texts, "classify_text")
        return softmax(self._predictor.classify_text(listed), axis=1)

    def can(self, name: str) -> bool:
        """Whether the model can 'embed', 'match', 'generate', 'answer', 'classify' or
        'classify_text'."""
        return self._predictor.can(name)

    def match(
        self, pictures: Picture | Iterable[Picture], texts: str | Sequence[str]
    ) -> Float[np.ndarray, " n"]:
        """How likely each text fits its picture, float32 [n] in 0..1.

        One picture is held against all texts, one text against all pictures.
        """
        prepared, listed = self._prepared(pictures), _strings(texts, "match")
        listed = listed * len(prepared) if len(listed) == 1 else listed
        predictor, size, one = self._predictor, self._predictor.batch_size, None
        if len(prepared) == 1:
            one = predictor.image_tokens(prepared)
        else:
            check_pairs(prepared, listed, "texts")
        found = [np.zeros(0, np.float32)]
        for start in range(0, len(listed), size):
            part = slice(start, start + size)
            if one is None:
                tokens = predictor.image_tokens(prepared[part])
            else:
                tokens = one.repeat(len(listed[part]), axis=0)
            found.append(predictor.match(tokens, listed[part]))
        return np.concatenate(found)

    def attention_map(
        self,
        picture: Picture,
        text: str,
        word: str | None = None,
        layer: int | None = None,
    ) -> Float[np.ndarray, "row column"]:
        """Where the model looks in a picture for a word of a text, or for all of it.

        Over the grid of patches of the picture as the model sees it; see
        `ModelPredictor.attention_map`.
        """
        prepared = self._prepare(picture, 0)
        return self._predictor.attention_map(prepared, text, word, layer)

    def generate(
        self, pictures: Picture | Iterable[Picture], prompt: str = "", **decoding
    ) -> list[str]:
        """A text about each picture, which goes on from the prompt.

        decoding: settings of models/decoding.py, such as beams=3, or method='sample';
        seed: of samples.
        """
        prepared = self._prepared(pictures)
        return self._predictor.generate(prepared, prompt, **decoding)

    def answer(
        self,
        pictures: Picture | Iterable[Picture],
        questions: str | Sequence[str],
        candidates: Sequence[str] | None = None,
        **decoding,
    ) -> list[str]:
        """The answer to each question about its picture, of the candidates if given.

        decoding: as in `generate`, where the model writes its answers.
        """
        prepared, listed = self._prepared(pictures), _strings(questions, "answer")
        return self._predictor.answer(prepared, listed, candidates, **decoding)

    def _prepared(self, pictures: Picture | Iterable[Picture]) -> "_Prepared":
        return _Prepared(
            [pictures] if _is_one(pictures) else list(pictures), self._prepare
        )

    def _prepare(self, picture: Picture, number: int) -> np.ndarray:
        where = f"picture {number}"
        try:
            if isinstance(picture, str | os.PathLike):
                where = f"picture {number} ({picture})"
                picture = Path(picture).expanduser().read_bytes()
            elif not (isinstance(picture, bytes | np.ndarray) or _is_pillow(picture)):
                raise ConfigError(
                    f"{where} is a {type(picture).__name__}; expected a path, bytes, a "
                    "uint8 array [H, W, 3] or a Pillow image"
                )
            return self._predictor.prepare_image(picture)
        except OSError as error:
            raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
        except BadSample as error:
            raise ConfigError(f"{where} cannot be used: {error}") from None

    def _nothing(self) -> np.ndarray:
        if not self.can("embed"):
            return self._predictor.encode_text(())  # which says why it cannot
        return np.zeros((0, self.model.config.model.embedding_size), np.float32)


class _Prepared:
    """Pictures as the model sees them, made when their slice is asked for."""

    def __init__(self, pictures: list[Picture], prepare):
        self.pictures, self._prepare = pictures, prepare

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, part: slice) -> np.ndarray:
        chosen = range(len(self.pictures))[part]
        return np.stack([self._prepare(self.pictures[i], i) for i in chosen])


def _strings(texts: str | Sequence[str], asked: str) -> list[str]:
    listed = [texts] if isinstance(texts, str) else list(texts)
    for text in listed:
        if not isinstance(text, str):
            raise ConfigError(f"{asked} got {text!r}; expected strings")
    return listed


def _is_one(pictures: Any) -> bool:
    if isinstance(pictures, np.ndarray):
        return pictures.ndim < 4
    return isinstance(pictures, str | bytes | os.PathLike) or _is_pillow(pictures)


def _is_pillow(picture: Any) -> bool:
    return hasattr(picture, "mode") and hasattr(picture, "convert")


def _shown(starts: range, progress: bool, what: str) -> Iterable[int]:
    return track(starts, len(starts), what) if progress else starts


def load(
    endpoint: str,
    batch_size: int = 64,
    weights: str = "model",
    tokenizer: str | None = None,
) -> Encoder:
    """The model of a workdir, a checkpoint, or any endpoint of `port` (hf:DIR, ...).

    tokenizer: a folder or hub name, for an endpoint without one (big_vision:).
    """
    jax.local_devices()  # starts them, so that errors of the machine come first
    return Encoder(endpoints.read(endpoint, weights, tokenizer), batch_size)

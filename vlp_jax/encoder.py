"""A model for Python and notebooks: pictures and strings in, embeddings out."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from vlp_jax import endpoints
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.logs import track
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.portable import Portable

Picture = str | os.PathLike | bytes | np.ndarray | Any  # or a Pillow image


class Encoder:
    """Encodes on all devices of this process.

    Args:
      model: from an endpoint (see `load`).
      batch_size: pictures or texts of one call of the model.

    `logit_scale` and `logit_bias` (0 without one) turn cosines into logits.
    """

    def __init__(self, model: Portable, batch_size: int = 64):
        self.model, self.name = model, model.name
        self.logit_scale = float(np.exp(model.parameters["logit_scale"]))
        self.logit_bias = float(model.parameters.get("logit_bias", 0.0))
        self._predictor = model.predictor(MeshSpec().make(), batch_size)

    def encode_image(
        self, pictures: Picture | Iterable[Picture], progress: bool = False
    ) -> Float[np.ndarray, "n embedding"]:
        """L2-normalised float32 [n, E] of one picture or several.

        A picture is a path, encoded bytes, a uint8 array [H, W, 3] or a Pillow image.
        ConfigError names the one that cannot be read.
        """
        listed = [pictures] if _is_one(pictures) else list(pictures)
        found, size = [], self._predictor.batch_size
        starts = range(0, len(listed), size)
        for start in _shown(starts, progress, "pictures encoded"):
            chosen = range(start, min(start + size, len(listed)))
            prepared = np.stack([self._prepare(listed[i], i) for i in chosen])
            found.append(self._predictor.encode_image(prepared))
        return np.concatenate(found) if found else self._nothing()

    def encode_text(
        self, texts: str | Sequence[str], progress: bool = False
    ) -> Float[np.ndarray, "n embedding"]:
        """L2-normalised float32 [n, E] of one string or several."""
        listed = [texts] if isinstance(texts, str) else list(texts)
        wrong = next((t for t in listed if not isinstance(t, str)), None)
        if wrong is not None:
            raise ConfigError(f"encode_text got {wrong!r}; expected strings")
        size = self._predictor.batch_size
        starts = range(0, len(listed), size)
        found = [
            self._predictor.encode_text(listed[start : start + size])
            for start in _shown(starts, progress, "texts encoded")
        ]
        return np.concatenate(found) if found else self._nothing()

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
        return np.zeros((0, self.model.config.model.embedding_size), np.float32)


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

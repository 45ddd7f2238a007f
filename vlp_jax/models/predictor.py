"""A trained model as evaluators see it: pictures and strings in, embeddings out."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding

from vlp_jax.core.errors import check_range
from vlp_jax.core.types import PyTree
from vlp_jax.models.outputs import inference
from vlp_jax.parallel.mesh import batch_devices
from vlp_jax.parallel.sharding import REPLICATED, place_batch


class ModelPredictor:
    """Encodes on all devices of a mesh, in batches of one compiled shape.

    On several processes each gives the same rows, encodes those of its devices, and
    gets all embeddings.

    Args:
      model: a module with the outputs image_embedding and text_embedding.
      variables: its variables; `with_variables` swaps them without compiling again.
      prepare_image: picture (bytes, array or PIL) -> uint8 [S, S, 3]; raises BadSample.
      tokenize: texts -> (tokens int32 [n, L], mask bool [n, L]).
      mesh: the devices to share the work.
      batch_size: rows of one call, rounded up to what the devices divide.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: dict[str, PyTree],
        prepare_image: Callable[[Any], np.ndarray],
        tokenize: Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]],
        mesh: Mesh,
        batch_size: int,
    ):
        self.variables, self.mesh = variables, mesh
        self.prepare_image, self.tokenize = prepare_image, tokenize
        check_range("batch_size", batch_size, 1)
        devices = batch_devices(mesh)
        self.batch_size = -(-batch_size // devices) * devices
        everywhere = NamedSharding(mesh, REPLICATED)
        image, text = (inference(model, f"{x}_embedding") for x in ("image", "text"))
        self._image = jax.jit(lambda v, x: image(v, image=x), out_shardings=everywhere)
        self._text = jax.jit(
            lambda v, x, m: text(v, text_tokens=x, text_mask=m),
            out_shardings=everywhere,
        )

    def with_variables(self, variables: dict[str, PyTree]) -> "ModelPredictor":
        """The same compiled functions under other weights."""
        other = copy.copy(self)
        other.variables = variables
        return other

    def encode_image(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, S, S, 3] -> float32 [n, E], L2-normalised."""
        return self._encode(self._image, len(images), lambda part: [images[part]])

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """n strings -> float32 [n, E], L2-normalised."""
        texts = list(texts)
        return self._encode(
            self._text, len(texts), lambda part: self.tokenize(texts[part])
        )

    def _encode(self, function: Callable, size: int, rows_of: Callable) -> np.ndarray:
        """rows_of: the rows in a slice, made for a batch at a time: they are large."""
        found = []
        with jax.set_mesh(self.mesh):
            for start in range(0, size, self.batch_size):
                rows = rows_of(slice(start, start + self.batch_size))
                n = len(rows[0])
                fill = self.batch_size - n
                rows = [
                    np.pad(x, ((0, fill),) + ((0, 0),) * (x.ndim - 1)) for x in rows
                ]
                placed = place_batch(rows, self.mesh, whole=True)
                out = function(self.variables, *placed)
                found.append(np.asarray(out)[:n])
        return np.concatenate(found)

"""CLIP's loss, and NT-Xent on the same core, as objectives."""

import math

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vlp_jax.core.errors import check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Outputs, Term
from vlp_jax.objectives.softmax import BOTH, dense_softmax, tiled_softmax
from vlp_jax.objectives.sweep import PairLoss

DIRECTIONS = {"both": BOTH, "image_to_text": (1.0, 0.0), "text_to_image": (0.0, 1.0)}


class Contrastive(PairLoss):
    """CLIP's loss (Radford et al. 2021, arXiv:2103.00020).

    Args: those of PairLoss (objectives/sweep.py), and
      direction: 'both', or only 'image_to_text' or 'text_to_image'.
      temperature: a fixed one instead of the learned scale (s = 1 / temperature).
    """

    def __init__(
        self,
        mesh: Mesh,
        direction: str = "both",
        temperature: float | None = None,
        implementation: str = "auto",
        tile_size: int = 512,
        mask_duplicates: bool = False,
        dtype: str = "float32",
    ):
        super().__init__(mesh, implementation, tile_size, mask_duplicates, dtype)
        self.weights = lookup(DIRECTIONS, direction, "contrastive direction")
        check_range("temperature", temperature, 1e-4)
        self.temperature = temperature

    def loss_function(self, implementation: str):
        if implementation == "dense":
            return lambda *inputs: dense_softmax(*inputs, self.weights)
        return tiled_softmax(self.mesh, self.sweep(implementation), self.weights)

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        image, text, logit_scale, valid, keys = self.inputs(outputs)
        if self.temperature is not None:
            logit_scale = jnp.float32(-math.log(self.temperature))
        loss = self.loss_function(self.choose(len(image))[0])
        return Term(
            total=loss(image, text, logit_scale, valid, keys),
            count=valid.sum().astype(jnp.float32),
            metrics={"scale": jnp.exp(logit_scale)},
        )


class NTXent(Contrastive):
    """SimCLR's loss over 2B views of B samples (Chen et al. 2020, arXiv:2002.05709).

    For each of the 2B views the other view of its sample is right among the 2B - 1
    other views. With rows (a, b) and columns (b, a) the positives lie on the diagonal,
    and keys shared by the two views of a sample keep a view from meeting itself: one
    direction of the softmax loss over 2B rows. As a view of an image its caption may
    serve; the two views are the model's two embeddings.

    Args: those of PairLoss, and
      temperature: divides the cosines (not given: the learned scale multiplies them).
    """

    def __init__(
        self,
        mesh: Mesh,
        temperature: float | None = None,
        implementation: str = "auto",
        tile_size: int = 512,
        mask_duplicates: bool = False,
        dtype: str = "float32",
    ):
        matrix = implementation, tile_size, mask_duplicates, dtype
        super().__init__(mesh, "image_to_text", temperature, *matrix)

    def describe(self, batch: int) -> str:
        return super().describe(2 * batch)

    def inputs(self, outputs: Outputs):
        first, second, logit_scale, valid, keys = super().inputs(outputs)
        rows = jnp.concatenate([first, second])
        columns = jnp.concatenate([second, first])
        return rows, columns, logit_scale, jnp.tile(valid, 2), jnp.tile(keys, 2)

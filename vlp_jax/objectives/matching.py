"""Image-text matching: does this text belong to this picture?

The fusion encoder judges three pairs for every row of the batch: its own, its picture
with a text of another row, and its text with a picture of another row. The loss is the
mean cross entropy of the two classes over the three (Li et al. 2021, arXiv:2107.07651,
equation 4). ViLT judges the first and the last of them (arXiv:2102.03334).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.objectives.hard_negatives import (
    Negatives,
    device_negatives,
    tiled_negatives,
)
from vlp_jax.objectives.sweep import SWEEPS, choose
from vlp_jax.parallel import collectives
from vlp_jax.parallel.collectives import ROWS
from vlp_jax.parallel.mesh import batch_devices


def matching_loss(
    logits: Float[Array, "B K 2"], counts: Bool[Array, "B K"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(sum of the cross entropy over the pairs that count, how many these are).

    The first of the K pairs of a row belongs together, the others do not.
    """
    log_shares = jax.nn.log_softmax(logits.astype(jnp.float32))
    own, others = log_shares[:, :1, 1], log_shares[:, 1:, 0]
    losses = -jnp.concatenate([own, others], axis=1)
    total = jnp.where(counts, losses, 0).sum()
    return total, counts.sum().astype(jnp.float32)


def matching_accuracy(
    logits: Float[Array, "B K 2"], counts: Bool[Array, "B K"]
) -> dict[str, Float[Array, ""]]:
    """Shares of right answers: of all pairs, of the right and of the wrong ones."""
    labels = jnp.arange(logits.shape[1]) == 0
    right = (logits.argmax(-1) == labels) & counts

    def share(which):
        return right[:, which].sum() / jnp.maximum(counts[:, which].sum(), 1)

    return {
        "accuracy": share(slice(None)),
        "accuracy_positive": share(slice(0, 1)),
        "accuracy_negative": share(slice(1, None)),
    }


class Matching:
    """matching_loss as an objective, with the negatives that it is about.

    Negatives come from the micro-batch, so that with `accumulation` they are drawn from
    fewer rows. A row without any row of another sample beside it has no negatives: its
    own pair counts alone. Draws are by the live embeddings.

    Args:
      mesh: the devices that share the batch.
      negatives: 'device': hard ones from the rows of the same device, without
        communication, as published; which they are depends on the number of devices.
        'global': hard ones from all rows, the same on any mesh; tokens go round all
        devices. 'random': any row of the same device as likely as any other
        (as ViLT, arXiv:2102.03334), for models without embeddings.
      tile_size: columns of the matrix of 'global' that exist at one time.
    """

    scope = "micro"
    needs = (Need("matching_logits"), Need("valid"), Need("has_negatives"))

    def __init__(self, mesh: Mesh, negatives: str = "device", tile_size: int = 512):
        draws = {
            "device": self._hard_of_device,
            "global": self._hard_of_all,
            "random": self._any_of_device,
        }
        draw = lookup(draws, negatives, "kind of negatives")
        check_range("tile_size", tile_size, 1)
        self.mesh, self.tile_size = mesh, tile_size
        self.everywhere = negatives == "global"
        self.derived: dict[str, Callable] = {
            "negative_index": draw,
            "has_negatives": _has_negatives,
            "negative_image": lambda image, negative_index: self._rows(
                image, negative_index.image_for_text
            ),
            "negative_image_tokens": lambda image_tokens, negative_index: self._rows(
                image_tokens, negative_index.image_for_text
            ),
            "negative_text_tokens": lambda text_tokens, negative_index: self._rows(
                text_tokens, negative_index.text_for_image
            ),
            "negative_text_mask": lambda text_mask, negative_index: self._rows(
                text_mask, negative_index.text_for_image
            ),
            "negative_text_states": lambda text_states, negative_index: self._rows(
                text_states, negative_index.text_for_image
            ),
        }

    def initial_state(self):
        return ()

    def check(self, batch: int, samples: int) -> None:
        """ConfigError unless rows have others to be drawn for them."""
        devices = 1 if self.everywhere else batch_devices(self.mesh)
        if batch // devices < 2:
            where = "in the batch" if self.everywhere else "on each device"
            raise ConfigError(
                f"matching draws a row's negatives from the others {where}, but there "
                f"is {batch // devices} row; expected 2 or more: raise batch_size"
                + ("" if self.everywhere else ", or draw with negatives='global'")
            )

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        logits, valid, has_negatives = (outputs[need] for need in self.needs)
        own = jnp.ones_like(valid)[:, None]
        # A model that judges two pairs leaves out the picture with another text.
        has_negatives = has_negatives[:, 3 - logits.shape[1] :]
        counts = valid[:, None] & jnp.concatenate([own, has_negatives], axis=1)
        return Term(
            *matching_loss(logits, counts), metrics=matching_accuracy(logits, counts)
        )

    def _hard_of_device(
        self, image_embedding, text_embedding, logit_scale, valid, sample_id, key
    ) -> Negatives:
        self.check(len(valid), 0)
        embeddings = image_embedding, text_embedding
        return device_negatives(self.mesh)(
            *embeddings, logit_scale, valid, sample_id, key
        )

    def _hard_of_all(
        self, image_embedding, text_embedding, logit_scale, valid, sample_id, key
    ) -> Negatives:
        self.check(len(valid), 0)
        way, _ = choose(self.mesh, len(valid))
        sweep = functools.partial(SWEEPS[way], tile_size=self.tile_size)
        embeddings = image_embedding, text_embedding
        return tiled_negatives(self.mesh, sweep)(
            *embeddings, logit_scale, valid, sample_id, key
        )

    def _any_of_device(self, valid, sample_id, key) -> Negatives:
        nothing = jnp.zeros((len(valid), 1))  # all alike
        scale = jnp.zeros(())
        return self._hard_of_device(nothing, nothing, scale, valid, sample_id, key)

    def _rows(self, x: jax.Array, numbers: jax.Array) -> jax.Array:
        """Rows of [B, ...] by their numbers in the batch."""
        pick = collectives.rows_at if self.everywhere else collectives.own_rows_at
        mapped = collectives.map_rows(pick, self.mesh, (ROWS, ROWS), ROWS)
        return mapped(x, numbers)


def _has_negatives(negative_index: Negatives) -> Bool[Array, "B 2"]:
    """Whether a row has got a text for its picture, a picture for its text."""
    image_for_text, text_for_image = negative_index
    found = jnp.stack([text_for_image, image_for_text], axis=1)
    return found != jnp.arange(len(found))[:, None]

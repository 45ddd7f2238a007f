"""Prefix language modelling: the rest of a text, from its picture and its beginning."""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.objectives.cross_entropy import accuracy, cross_entropy, next_tokens


def random_prefix_length(
    text_mask: Bool[Array, "B L"], key: Key[Array, ""]
) -> Int[Array, " B"]:
    """How many tokens of each text are given: the start at least, and all but one.

    Each number is as likely as another. Of a text of one token that one is given.
    """
    most = jnp.maximum(text_mask.sum(axis=1, dtype=jnp.int32) - 1, 1)
    return jax.random.randint(key, most.shape, 1, most + 1, jnp.int32)


class PrefixLM:
    """SimVLM's loss (arXiv:2108.10904, equation 3): the mean over predicted tokens.

    What is given of each text, and seen whole, is drawn anew in every step.
    """

    scope = "micro"
    needs = (
        Need("prefix_logits"),
        Need("prefix_length"),
        Need("text_tokens"),
        Need("text_mask"),
        Need("valid"),
    )
    derived: ClassVar[dict[str, Callable]] = {"prefix_length": random_prefix_length}

    def initial_state(self):
        return ()

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        logits, given, tokens, mask, valid = (outputs[need] for need in self.needs)
        logits = logits[:, :-1]
        targets, counted = next_tokens(tokens, mask, valid)
        counted &= jnp.arange(1, tokens.shape[1]) >= given[:, None]
        losses = cross_entropy(logits, targets)
        return Term(
            total=jnp.where(counted, losses, 0).sum(),
            count=counted.sum().astype(jnp.float32),
            metrics={"accuracy": accuracy(logits, targets, counted)},
        )

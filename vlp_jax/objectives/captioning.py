"""Captioning: each token of a caption from the picture and the tokens before it."""

import jax
import jax.numpy as jnp

from vlp_jax.core.errors import check_range
from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.objectives.cross_entropy import accuracy, cross_entropy, next_tokens


class Captioning:
    """BLIP's language modelling (arXiv:2201.12086): the mean over predicted tokens.

    CoCa's (arXiv:2205.01917) has no label smoothing, and a weight of 2.

    Args:
      label_smoothing: share of a target that is spread over the vocabulary.
      prompt_length: tokens at the start of a text, its start token among them, that
        are given and not to be predicted ("a picture of" in BLIP's fine-tuning).
    """

    scope = "micro"
    needs = (
        Need("caption_logits"),
        Need("text_tokens"),
        Need("text_mask"),
        Need("valid"),
    )

    def __init__(self, label_smoothing: float = 0.1, prompt_length: int = 0):
        check_range("label_smoothing", label_smoothing, 0, 1)
        check_range("prompt_length", prompt_length, 0)
        self.label_smoothing, self.prompt_length = label_smoothing, prompt_length

    def initial_state(self):
        return ()

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        logits, tokens, mask, valid = (outputs[need] for need in self.needs)
        logits = logits[:, :-1]
        targets, counted = next_tokens(tokens, mask, valid)
        counted &= jnp.arange(1, tokens.shape[1]) >= self.prompt_length
        losses = cross_entropy(logits, targets, self.label_smoothing)
        return Term(
            total=jnp.where(counted, losses, 0).sum(),
            count=counted.sum().astype(jnp.float32),
            metrics={"accuracy": accuracy(logits, targets, counted)},
        )

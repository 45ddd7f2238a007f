"""Classes of pictures or texts: by a head, or by the prompts that name them."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from vlp_jax.core.errors import check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.objectives.cross_entropy import accuracy, cross_entropy

STREAMS = dict.fromkeys(("labels", "texts"))


def constant(value: jax.Array) -> Callable[[], jax.Array]:
    """A derived value that is derived from nothing."""
    return lambda: value


class Classification:
    """Cross entropy of the model's `class_logits`, averaged over the samples.

    A model with a head computes them from its tower; one with two towers compares
    pictures with the prompts of all classes (CoOp: Zhou et al. 2022, arXiv:2109.01134,
    equation 3; with fixed prompts it is fine-tuning with the zero-shot classifier).

    Args:
      stream: 'labels' (pictures) or 'texts'.
      label_smoothing: 0.1 is common where a whole tower is fine-tuned.
      class_prompts: the tokens and the mask of each class's prompt, where a model asks
        for them.
    """

    scope = "micro"

    def __init__(
        self,
        stream: str = "labels",
        label_smoothing: float = 0.0,
        class_prompts: Mapping[str, jax.Array] | None = None,
    ):
        lookup(STREAMS, stream, "objectives.classification.stream")
        check_range("label_smoothing", label_smoothing, 0, 1)
        names = ("class_logits", "label", "valid")
        self.needs = tuple(Need(name, stream) for name in names)
        self.label_smoothing = label_smoothing
        self.derived = {k: constant(v) for k, v in (class_prompts or {}).items()}

    def initial_state(self):
        return ()

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        logits, labels, valid = (outputs[need] for need in self.needs)
        losses = cross_entropy(logits, labels, self.label_smoothing)
        return Term(
            total=jnp.where(valid, losses, 0).sum(),
            count=valid.sum().astype(jnp.float32),
            metrics={"accuracy": accuracy(logits, labels, valid)},
        )

"""Judging captions of which some are nearly right: the stream `contrasts`.

NegCLIP's remedy (Yuksekgonul et al. 2022, arXiv:2210.01936) for models that read a
caption as a bag of words: hard negatives that are made, since no batch holds the same
words in another order. There they join the contrast; here they are judged one by one.
"""

import jax
import jax.numpy as jnp

from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.objectives.cross_entropy import accuracy, cross_entropy


class Judging:
    """Cross entropy of the model's two classes, no match and match, over all captions.

    Metrics: accuracy, 1/2 for whoever does not look.
    """

    scope = "micro"
    needs = tuple(Need(name, "contrasts") for name in ("match", "fits", "valid"))

    def initial_state(self):
        return ()

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        logits, fits, valid = (outputs[need] for need in self.needs)
        right = fits.astype(jnp.int32)
        losses = cross_entropy(logits, right)
        return Term(
            total=jnp.where(valid, losses, 0).sum(),
            count=valid.sum().astype(jnp.float32),
            metrics={"accuracy": accuracy(logits, right, valid)},
        )

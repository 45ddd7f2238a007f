"""Cross entropy over the tokens of a vocabulary: what losses of texts share.

All of it is computed in float32, whatever the logits come in.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def cross_entropy(
    logits: Float[Array, "*places V"],
    targets: Int[Array, "*places"],
    label_smoothing: float = 0.0,
) -> Float[Array, "*places"]:
    """-log of the probability of each target.

    With label smoothing e, a target is 1 - e of itself and e / V of every token
    (Szegedy et al. 2015, arXiv:1512.00567, section 7; torch.nn.CrossEntropyLoss).
    """
    logs = jax.nn.log_softmax(logits.astype(jnp.float32))
    # A sum rather than a look-up: its gradient is no scatter, and V may be split.
    hit = jnp.arange(logs.shape[-1]) == targets[..., None]
    losses = -jnp.where(hit, logs, 0).sum(-1)
    if label_smoothing:
        losses += label_smoothing * (-logs.mean(-1) - losses)
    return losses


def soft_cross_entropy(
    logits: Float[Array, "*places V"], teacher: Float[Array, "*places V"]
) -> Float[Array, "*places"]:
    """-sum over tokens of p log q, with p of the teacher's logits, which stay fixed.

    Momentum distillation (Li et al. 2021, arXiv:2107.07651, equation 7) but for the
    entropy of p, which has no gradient.
    """
    teacher = jax.lax.stop_gradient(teacher).astype(jnp.float32)
    logs = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -(jax.nn.softmax(teacher) * logs).sum(-1)


def ramped(
    share: float, ramp_steps: int, step: Int[Array, ""]
) -> Float[Array, ""] | float:
    """A share that rises linearly from 0 at step 0 to its full size at `ramp_steps`."""
    return share * jnp.minimum(1, step / ramp_steps) if ramp_steps else share


def next_tokens(
    tokens: Int[Array, "B L"], mask: Bool[Array, "B L"], valid: Bool[Array, " B"]
) -> tuple[Int[Array, "B M"], Bool[Array, "B M"]]:
    """(what positions 0 ... L - 2 should predict, whether there is such a token)."""
    return tokens[:, 1:], mask[:, 1:] & valid[:, None]


def accuracy(
    logits: Float[Array, "*places V"],
    targets: Int[Array, "*places"],
    counted: Bool[Array, "*places"],
) -> Float[Array, ""]:
    """The share of the counted places where the target is the likeliest token."""
    right = counted & (logits.argmax(-1) == targets)
    return right.sum() / jnp.maximum(counted.sum(), 1)

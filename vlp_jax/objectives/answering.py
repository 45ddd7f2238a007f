"""Answers to questions about pictures: one class out of many, or a text.

Ranking a list of answers is a way to use a model that was trained by AnswerText (BLIP,
ALBEF), not a loss of its own.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vlp_jax.core.errors import check_range
from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.objectives.cross_entropy import (
    accuracy,
    cross_entropy,
    next_tokens,
    ramped,
    soft_cross_entropy,
)

STREAM = "questions"
TEACHER = Need("answer_token_logits", STREAM, "momentum")


def needs_of_questions(*names: str) -> tuple[Need, ...]:
    return tuple(Need(name, STREAM) for name in (*names, "valid"))


def soft_targets(
    labels: Int[Array, "B N"], scores: Float[Array, "B N"], classes: int
) -> Float[Array, "B A"]:
    """The score of each class; 0 for those not among the labels. A label -1 is none."""
    return (jax.nn.one_hot(labels, classes) * scores[..., None]).max(axis=1)


def binary_cross_entropy(
    logits: Float[Array, "B A"], targets: Float[Array, "B A"]
) -> Float[Array, " B"]:
    """-sum over classes of y log sigmoid(z) + (1 - y) log sigmoid(-z), in float32."""
    logits = logits.astype(jnp.float32)
    losses = jnp.maximum(logits, 0) - logits * targets
    return (losses + jnp.log1p(jnp.exp(-jnp.abs(logits)))).sum(-1)


class AnswerClasses:
    """ViLT's loss (arXiv:2102.03334): answers as classes, each right to its score.

    The binary cross entropy, summed over the classes and averaged over questions.
    `accuracy` is VQA's: the mean score of the likeliest answer.
    """

    scope = "micro"
    needs = needs_of_questions("answer_logits", "answer_labels", "answer_scores")

    def initial_state(self):
        return ()

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        logits, labels, scores, valid = (outputs[need] for need in self.needs)
        targets = soft_targets(labels, scores, logits.shape[-1])
        losses = binary_cross_entropy(logits, targets)
        chosen = jax.nn.one_hot(logits.argmax(-1), logits.shape[-1])
        count = valid.sum().astype(jnp.float32)
        score = jnp.where(valid, (chosen * targets).sum(-1), 0).sum()
        return Term(
            total=jnp.where(valid, losses, 0).sum(),
            count=count,
            metrics={"accuracy": score / jnp.maximum(count, 1)},
        )


class AnswerText:
    """BLIP's and ALBEF's loss: answers as texts, told token by token.

    Cross entropy, summed over the tokens of an answer and averaged over questions:
    a long answer weighs more than a short one. They sum over all answers to a question
    of VQAv2, each weighted by the share of people who gave it; one answer drawn by
    these shares has the same loss on average. (The single answers of Visual Genome
    have a weight of 0.5 there, which is not done here.)

    Args:
      label_smoothing: 0.1 as in BLIP (arXiv:2201.12086); 0 in ALBEF.
      soft_share: share of momentum distillation (ALBEF, arXiv:2107.07651: 0.4), the
        targets of which are the moving average's; 0: it is not asked for.
      ramp_steps: over which that share rises from 0.
    """

    scope = "micro"
    needs = needs_of_questions("answer_token_logits", "answer_tokens", "answer_mask")

    def __init__(
        self,
        label_smoothing: float = 0.1,
        soft_share: float = 0.0,
        ramp_steps: int = 0,
    ):
        check_range("label_smoothing", label_smoothing, 0, 1)
        check_range("soft_share", soft_share, 0, 1)
        check_range("ramp_steps", ramp_steps, 0)
        self.label_smoothing = label_smoothing
        self.soft_share, self.ramp_steps = soft_share, ramp_steps
        self.needs = (*AnswerText.needs, *[TEACHER] * (soft_share > 0))

    def initial_state(self):
        return ()

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        logits, tokens, mask, valid = (outputs[need] for need in AnswerText.needs)
        logits = logits[:, :-1]
        targets, counted = next_tokens(tokens, mask, valid)
        losses = cross_entropy(logits, targets, self.label_smoothing)
        if self.soft_share:
            soft = soft_cross_entropy(logits, outputs[TEACHER][:, :-1])
            losses += ramped(self.soft_share, self.ramp_steps, step) * (soft - losses)
        return Term(
            total=jnp.where(counted, losses, 0).sum(),
            count=valid.sum().astype(jnp.float32),
            metrics={"accuracy": accuracy(logits, targets, counted)},
        )

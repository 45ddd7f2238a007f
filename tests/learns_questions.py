"""An objective that learns from questions, for runs that read them."""

import jax.numpy as jnp

from tests.recipes import changed, tiny
from vlp_jax import recipe
from vlp_jax.core.types import Need, Term

NEEDS = ("image_embedding", "text_embedding", "answer_tokens", "answer_scores", "valid")


class Agreement:
    """(cosine of picture and question - best score of an answer) squared, halved.

    And a little of the answer itself, so that every array of the stream counts.
    """

    needs = tuple(Need(name, "questions") for name in NEEDS)
    scope = "micro"

    def __init__(self, slope: float = 1.0):
        self.slope = slope

    def initial_state(self):
        return ()

    def check(self, batch: int, samples: int) -> None:
        self.checked = batch, samples

    def describe(self, batch: int) -> str:
        return f"of {batch} questions"

    def __call__(self, outputs, step, state):
        image, text, tokens, scores, valid = (outputs[need] for need in self.needs)
        cosine = (image * text).sum(axis=1)
        target = scores.max(axis=1) + 1e-3 * jnp.sin(tokens).mean(axis=1)
        loss = 0.5 * self.slope * (cosine - target) ** 2
        return Term(jnp.sum(loss * valid), jnp.sum(valid, dtype=jnp.float32))


def asking(pairs: bool = True, **settings):
    """The tiny recipe that also reads questions, or (without pairs) nothing else.

    OBJECTIVES must have `agreement` before.
    """
    config = tiny()
    config.questions.train = recipe.mixed("digit_scenes", size=200, canvas=24)
    config.questions.update(batch_size=8, answer_length=7, length=20)
    config.tokenizer.vocab_size = 420  # questions are not cut
    config.objectives.agreement.weight = 1.0
    if not pairs:
        config.data.train.kind = None
        config.objectives.contrastive.weight = 0.0
    return changed(config, **settings)

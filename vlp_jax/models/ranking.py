"""Which text of a list a decoder finds likeliest: closed answers to open questions."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import suggestion
from vlp_jax.core.types import PyTree
from vlp_jax.models.generate import Step

AT_ONCE = 16  # candidates whose memory a row holds at a time


def rank_candidates(
    step: Step,
    memory: PyTree,
    candidates: Int[Array, "candidate token"],
    mask: Bool[Array, "candidate token"],
    k: int,
) -> tuple[Int[Array, "batch kept"], Float[Array, "batch kept"]]:
    """The `k` candidates with the likeliest first tokens, best first, and their log p.

    As ALBEF (arXiv:2107.07651) and BLIP (arXiv:2201.12086, k = 128) answer VQA: the log
    p of a candidate is the sum over its tokens, the end token among them, and only the
    `k` that the first token leaves in the race are read to the end.

    step, memory: see `generate`. candidates: each with the start token in front, which
      all share; mask: True up to their end tokens.
    """
    rows = len(jax.tree.leaves(memory)[0])
    start = jnp.broadcast_to(candidates[:1, :1], (rows, 1))
    logits, memory = step(memory, start, jnp.int32(0))
    first = log_likelihood(logits)[:, candidates[:, 1]]
    first, kept = jax.lax.top_k(first, min(k, len(candidates)))

    def log_p(of_rows):
        """That of one candidate for each row; what rows know is not copied for it."""
        index, first = of_rows
        tokens, there = candidates[index], mask[index]

        def read(state, position):
            memory, total = state
            token, following = (
                jax.lax.dynamic_slice_in_dim(tokens, at, 1, axis=1)
                for at in (position, position + 1)
            )
            logits, memory = step(memory, token, position)
            found = jnp.take_along_axis(log_likelihood(logits), following, axis=1)
            counts = jax.lax.dynamic_slice_in_dim(there, position + 1, 1, axis=1)
            return (memory, total + jnp.where(counts, found, 0)[:, 0]), None

        positions = jnp.arange(1, tokens.shape[1] - 1)
        return jax.lax.scan(read, (memory, first), positions)[0][1]

    scores = jax.lax.map(log_p, (kept.T, first.T), batch_size=AT_ONCE).T
    scores, order = jax.lax.top_k(scores, scores.shape[1])
    return jnp.take_along_axis(kept, order, axis=1), scores


def log_likelihood(
    logits: Float[Array, "row vocabulary"],
) -> Float[Array, "row vocabulary"]:
    return jax.nn.log_softmax(logits.astype(jnp.float32))


def likeliest(
    logits: Float[np.ndarray, "n classes"],
    answers: Sequence[str],
    candidates: Sequence[str] | None,
) -> list[str]:
    """The answer with the largest logit, of the candidates if there are any."""
    if candidates is None:
        candidates = answers
    classes = {answer: number for number, answer in enumerate(answers)}
    unknown = next((text for text in candidates if text not in classes), None)
    if unknown is not None:
        raise ConfigError(
            f"candidate {unknown!r} is none of the {len(answers):,} answers that the "
            f"model chooses from{suggestion(unknown, classes)}"
        )
    numbers = [classes[text] for text in candidates]
    return [candidates[i] for i in logits[:, numbers].argmax(axis=1)]

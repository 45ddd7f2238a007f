"""ROUGE-L: the longest common subsequence of a text and its references (Lin 2004)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from vlp_jax.evaluation.metrics.ngrams import Tokens

BETA = 1.2  # how much more recall weighs than precision


def rouge_l(
    guesses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]
) -> Float[np.ndarray, " n"]:
    """The F measure of every guess, 0..1; ROUGE-L of a set is their mean.

    As in pycocoevalcap the best precision and the best recall count, of whichever
    references. A text without a token is a single empty token.
    """
    found = np.zeros(len(guesses))
    for number, (guess, own) in enumerate(zip(guesses, references, strict=True)):
        guess = guess or [""]
        common = [(_common_length(guess, x or [""]), len(x) or 1) for x in own]
        precision = max(length for length, _ in common) / len(guess)
        recall = max(length / size for length, size in common)
        if precision:
            product = (1 + BETA**2) * precision * recall
            found[number] = product / (recall + BETA**2 * precision)
    return found


def _common_length(one: Tokens, other: Tokens) -> int:
    """The length of the longest common subsequence."""
    above = [0] * (len(other) + 1)
    for token in one:
        row = [0]
        for place, candidate in enumerate(other, 1):
            is_equal = token == candidate
            row.append(above[place - 1] + 1 if is_equal else max(above[place], row[-1]))
        above = row
    return above[-1]

"""BLEU: how many of a text's n-grams stand in its references (Papineni et al. 2002)."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from vlp_jax.evaluation.metrics.ngrams import Tokens, ngram_counts

# As in pycocoevalcap: where no n-gram fits, or there is none, a score is nearly 0.
TINY, SMALL = 1e-15, 1e-9


def bleu(
    guesses: Sequence[Tokens], references: Sequence[Sequence[Tokens]], longest: int = 4
) -> Float[np.ndarray, " longest"]:
    """BLEU-1 to BLEU-`longest` of a whole set, 0..1; `references[k]` are guess k's.

    Precisions are of all n-grams of the set together, each counted at most as often as
    in one of its references. The brevity penalty compares the length of all guesses
    with that of their references; of several the closest in length counts, of equally
    close ones the shorter.
    """
    right, tried = np.zeros(longest), np.zeros(longest)
    length, wanted = 0, 0
    for guess, own in zip(guesses, references, strict=True):
        most: Counter[tuple[str, ...]] = Counter()
        for reference in own:
            most |= ngram_counts(reference, longest)
        for ngram, count in (ngram_counts(guess, longest) & most).items():
            right[len(ngram) - 1] += count
        tried += np.maximum(len(guess) - np.arange(longest), 0)
        length += len(guess)
        wanted += min((abs(len(x) - len(guess)), len(x)) for x in own)[1]
    precisions = (right + TINY) / (tried + SMALL)
    ratio = (length + TINY) / (wanted + SMALL)
    brevity = math.exp(min(0.0, 1 - 1 / ratio))
    return brevity * np.cumprod(precisions) ** (1 / np.arange(1, longest + 1))

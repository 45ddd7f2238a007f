"""CIDEr: do a caption's telling n-grams agree with those of its references?"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from vlp_jax.evaluation.metrics.ngrams import Tokens, ngram_counts

LONGEST = 4
SIGMA = 6.0  # of the penalty for another length
SCALE = 10.0

Vector = dict[tuple[str, ...], float]


def cider(
    guesses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]
) -> Float[np.ndarray, " n"]:
    """The score of every guess, 0..10; CIDEr of a set is their mean.

    It is CIDEr-D of Vedantam et al. 2015 (arXiv:1411.5726) as pycocoevalcap's Cider
    computes it: document frequencies are those of the references given here, so that a
    score depends on the set, and is 0 for a single picture; the lengths compared are
    numbers of bigrams.
    """
    rarity = _Rarity(references)
    found = np.zeros(len(guesses))
    for number, (guess, own) in enumerate(zip(guesses, references, strict=True)):
        vectors = rarity.vectors(guess)
        others = [rarity.vectors(reference) for reference in own]
        total = sum(
            _similarity(vectors, other) * _penalty(len(guess), len(reference))
            for reference, other in zip(own, others, strict=True)
        )
        found[number] = SCALE * total / len(own)
    return found


class _Rarity:
    """log(pictures / pictures with the n-gram in a reference) of every n-gram."""

    def __init__(self, references: Sequence[Sequence[Tokens]]):
        self.most = math.log(len(references)) if references else 0.0
        self.pictures: Counter[tuple[str, ...]] = Counter()
        for own in references:
            self.pictures.update({n for x in own for n in ngram_counts(x, LONGEST)})

    def vectors(self, tokens: Tokens) -> list[Vector]:
        """One for each length of n-grams: {n-gram: count * rarity}."""
        found: list[Vector] = [{} for _ in range(LONGEST)]
        for ngram, count in ngram_counts(tokens, LONGEST).items():
            rarity = self.most - math.log(max(1, self.pictures[ngram]))
            found[len(ngram) - 1][ngram] = count * rarity
        return found


def _similarity(guess: list[Vector], reference: list[Vector]) -> float:
    """The mean over lengths of the cosine; a guess gains nothing by repetition."""
    total = 0.0
    for mine, other in zip(guess, reference, strict=True):
        product = sum(
            min(x, other[n]) * other[n] for n, x in mine.items() if n in other
        )
        norms = _norm(mine) * _norm(other)
        total += product / norms if norms else 0.0
    return total / len(guess)


def _norm(vector: Vector) -> float:
    return math.sqrt(sum(x * x for x in vector.values()))


def _penalty(length: int, other: int) -> float:
    difference = max(length - 1, 0) - max(other - 1, 0)
    return math.exp(-(difference**2) / (2 * SIGMA**2))

"""Runs of tokens: what BLEU and CIDEr count."""

from collections import Counter
from collections.abc import Sequence

Tokens = Sequence[str]


def ngram_counts(tokens: Tokens, longest: int) -> Counter[tuple[str, ...]]:
    """How often each run of 1 to `longest` tokens occurs."""
    return Counter(
        tuple(tokens[start : start + length])
        for length in range(1, longest + 1)
        for start in range(len(tokens) - length + 1)
    )

"""Accuracy of answers to questions about pictures."""

from collections import Counter
from collections.abc import Sequence

from vlp_jax.core.answers import normalise_answer

ENOUGH = 3  # people who gave an answer make it right


def vqa_accuracy(guess: str, answers: Sequence[str]) -> float:
    """VQA's accuracy of one guess, 0..1 (Antol et al. 2015, arXiv:1505.00468).

    The mean over all subsets that leave out one of the people's answers (nine of VQA's
    ten) of min(those equal to the guess / 3, 1). All are compared in normal form. Where
    a question has a single answer the guess is right or wrong.
    """
    guess = normalise_answer(guess)
    equal = [normalise_answer(answer) == guess for answer in answers]
    if len(answers) == 1:
        return float(equal[0])
    count = sum(equal)
    return sum(min((count - own) / ENOUGH, 1) for own in equal) / len(answers)


def is_exact(guess: str, answers: Sequence[str]) -> bool:
    """Whether the guess is the commonest answer; of equally common ones the first."""
    return normalise_answer(guess) == commonest(answers)


def commonest(answers: Sequence[str]) -> str:
    """The answer that most people gave, in normal form."""
    return Counter(map(normalise_answer, answers)).most_common(1)[0][0]

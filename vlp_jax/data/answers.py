"""Answers as they are learned: their normal form, their classes, their scores."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from vlp_jax.core.answers import normalise_answer
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.named_texts import named_texts
from vlp_jax.core.types import Question

PEOPLE = 10  # who answer each question of VQA v2, and classes that a question may have
ENOUGH = 3  # people make an answer right (Antol et al. 2015, arXiv:1505.00468)


def learned_answers(question: Question) -> list[str]:
    """The answers in normal form, one for each person; none that are blank.

    Where nothing is left of one ('A', which is an article), it stays as it is.
    """
    found = (normalise_answer(text) or text.strip() for text in question.answers)
    return [text for text in found if text]


def answer_classes(count: Counter[str], most: int) -> tuple[str, ...]:
    """The most frequent answers, at most so many; equally frequent ones by name."""
    ranked = sorted(count.items(), key=lambda item: (-item[1], item[0]))
    return tuple(text for text, _ in ranked[:most])


def read_classes(path: str) -> tuple[str, ...]:
    """The answers of a text file, one a line, in normal form; ConfigError if twice."""
    given = named_texts(path, {}, "questions.answers")
    classes = tuple(normalise_answer(text) or text for text in given)
    twice = [text for text, times in Counter(classes).items() if times > 1]
    if twice:
        raise ConfigError(
            f"questions.answers: {path} has {twice[0]!r} more than once (answers are "
            f"compared in lower case, without articles); {len(twice)} such answers"
        )
    return classes


def scored_classes(
    answers: Sequence[str], numbers: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """(classes int32 [10], -1 where there is none; their scores float32 [10]).

    The score of an answer is that of VQA: min(people / 3, 1), where fewer than three
    answered of their number; 1 for the only answer. The most frequent stand first.

    Args:
      answers: those of learned_answers, at least one.
      numbers: {answer: class}.
    """
    labels, scores = np.full(PEOPLE, -1, np.int32), np.zeros(PEOPLE, np.float32)
    enough = min(ENOUGH, len(answers))
    known = [
        (numbers[text], times)
        for text, times in Counter(answers).most_common()
        if text in numbers
    ]
    for place, (label, times) in enumerate(known[:PEOPLE]):
        labels[place], scores[place] = label, min(times / enough, 1)
    return labels, scores

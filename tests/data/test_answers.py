"""Which answers are classes, and what they score for a question."""

from collections import Counter

import numpy as np
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Question
from vlp_jax.data.answers import (
    answer_classes,
    learned_answers,
    read_classes,
    scored_classes,
)


def test_answers_are_learned_in_their_normal_form():
    given = ("Two", "2", "A  dog.", "The", " ", "", "An")
    assert learned_answers(Question("?", given)) == ["2", "2", "dog", "The", "An"]


def test_classes_are_the_most_frequent_answers_and_then_by_name():
    count = Counter(b=2, a=2, c=9, d=1)
    assert answer_classes(count, 3) == ("c", "a", "b")
    assert answer_classes(Counter(a=2, c=9, b=2), 99) == ("c", "a", "b")
    assert answer_classes(Counter(), 3) == ()


def scored(answers: str, classes: str = "abcdefghijklmnop") -> list[tuple]:
    """(class, score in hundredths) of answers of one letter each."""
    numbers = {letter: number for number, letter in enumerate(classes)}
    labels, scores = scored_classes(answers, numbers)
    assert labels.shape == scores.shape == (10,)
    assert (labels.dtype, scores.dtype) == (np.int32, np.float32)
    known = labels >= 0
    assert known.tolist() == sorted(known, reverse=True)
    assert not scores[~known].any() and (labels[~known] == -1).all()
    hundredths = (100 * scores[known]).round().astype(int).tolist()
    return list(zip(labels[known].tolist(), hundredths, strict=True))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("aaaaaaaaaa", [(0, 100)]),
        ("baaccccddd", [(2, 100), (3, 100), (0, 67), (1, 33)]),
        ("zzzzzzzzya", [(0, 33)]),  # the others are no classes
        ("zzzzzzzzzz", []),
        ("abcdefghij", [(k, 33) for k in range(10)]),
        ("abcdefghijkll", [(11, 67)] + [(k, 33) for k in range(9)]),  # ten at most
        ("d", [(3, 100)]),  # the only answer
        ("ab", [(0, 50), (1, 50)]),
        ("aab", [(0, 67), (1, 33)]),
    ],
)
def test_scores_are_those_of_vqa(answers, expected):
    assert scored(answers) == expected


def test_classes_of_a_file(tmp_path):
    path = tmp_path / "answers.txt"
    path.write_text("yes\nTwo\nthe dog\nA\n")
    assert read_classes(str(path)) == ("yes", "2", "dog", "A")
    path.write_text("yes\nno\n2\nA two\n")
    with pytest.raises(ConfigError, match="has '2' more than once .*; 1 such answers"):
        read_classes(str(path))
    path.write_text("yes\n\nno\n")
    with pytest.raises(ConfigError, match="line 2: empty; expected one of questions.a"):
        read_classes(str(path))
    with pytest.raises(ConfigError, match="unknown questions.answers 'gone.txt', and"):
        read_classes("gone.txt")

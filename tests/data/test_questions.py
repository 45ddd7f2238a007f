"""A picture with a question that somebody has answered, and what they answered."""

import itertools
from collections import Counter

import jax
import numpy as np
import pytest

from tests.data.asked import CLASSES, Asked, questions
from tests.data.numbered import LENGTH, Numbers, assert_equal
from vlp_jax.core.errors import BAD_SAMPLE_CAUSES, BadSample
from vlp_jax.core.types import Question
from vlp_jax.data.loader import Loader
from vlp_jax.data.mixture import Mixture
from vlp_jax.data.questions import count_answers, questions_of, spread_questions
from vlp_jax.parallel.sharding import Share


def text(sample: dict, what: str) -> str:
    return "".join(map(chr, sample[f"{what}_tokens"][sample[f"{what}_mask"]]))


def test_a_sample():
    found = questions()[7]
    assert {key: (value.shape, value.dtype.name) for key, value in found.items()} == {
        "image": ((4, 4, 3), "uint8"),
        "text_tokens": ((LENGTH,), "int32"),
        "text_mask": ((LENGTH,), "bool"),
        "answer_tokens": ((5,), "int32"),
        "answer_mask": ((5,), "bool"),
        "answer_labels": ((10,), "int32"),
        "answer_scores": ((10,), "float32"),
        "valid": ((), "bool"),
        "sample_id": ((), "int32"),
        "bad": ((len(BAD_SAMPLE_CAUSES),), "int32"),
    }
    index = int(found["sample_id"])
    assert text(found, "text") == f"{index}?"
    assert text(found, "answer") in ("yes", "odd", "the", str(index))


def test_classes_and_scores():
    one = next(
        x for x in map(questions().__getitem__, range(40)) if x["sample_id"] == 2
    )
    assert one["answer_labels"].tolist() == [0, 3] + 8 * [-1]
    np.testing.assert_allclose(one["answer_scores"], [1, 1 / 3] + 8 * [0], rtol=1e-6)
    # A question none of whose answers is a class is used all the same.
    other = questions(classes=())[7]
    assert (other["answer_labels"] == -1).all() and not other["answer_scores"].any()
    assert other["sample_id"] == questions()[7]["sample_id"]


@pytest.mark.long
def test_answers_are_drawn_as_often_as_people_gave_them():
    found = questions()
    drawn = Counter(text(found[position], "answer") for position in range(4000))
    shares = {answer: drawn[answer] / 4000 for answer in ("yes", "odd", "the")}
    assert shares == pytest.approx({"yes": 4 / 8, "odd": 2 / 8, "the": 1 / 8}, abs=0.03)


def test_questions_are_drawn_anew():
    class Several(Asked):
        def questions_of(self, index):
            return tuple(Question(f"{k}", ("a",)) for k in range(4))

    found = questions()
    found.source = Several(40)
    drawn = Counter(text(found[position], "text") for position in range(2000))
    assert sorted(drawn) == ["0", "1", "2", "3"] and min(drawn.values()) > 400


def test_what_cannot_be_used_is_replaced_and_counted_by_its_cause():
    found = questions(bad={3: "image_empty"})
    samples = [found[position] for position in range(40)]
    counts = sum(sample["bad"] for sample in samples)
    counts = dict(zip(BAD_SAMPLE_CAUSES, counts.tolist(), strict=True))
    assert {cause: n for cause, n in counts.items() if n} == {
        "image_empty": 1,
        "question_missing": 4,
        "answer_missing": 4,
    }
    used = {int(sample["sample_id"]) for sample in samples}
    assert used == set(range(40)) - {3} - set(range(0, 40, 5))


# ---- through the loader, as pairs


def batches(count: int, first_step: int = 0, rows=None, threads: int = 2) -> list:
    share = None if rows is None else Share(np.array(rows), np.ones(len(rows), bool))
    samples = questions(bad={3: "image_empty"})
    loader = Loader(samples, 8, threads, share, stream="questions")
    return list(itertools.islice(loader.batches(first_step), count))


def test_a_run_goes_on_anywhere_with_any_number_of_threads():
    expected = batches(9)[5:]
    assert_equal(batches(4, first_step=5), expected)
    assert_equal(batches(4, first_step=5, threads=0), expected)


def test_the_rows_of_the_processes_make_the_batch_of_one():
    parts = [batches(6, rows=rows) for rows in ([0, 1, 4, 5], [2, 3, 6, 7])]
    back = np.argsort([0, 1, 4, 5, 2, 3, 6, 7])
    for whole, *mine in zip(batches(6), *parts, strict=True):
        joined = jax.tree.map(
            lambda *x: np.concatenate(x)[back], *(b.arrays for b in mine)
        )
        jax.tree.map(np.testing.assert_array_equal, joined, whole.arrays)
        assert sum((Counter(b.bad) for b in mine), Counter()) == whole.bad


# ---- all questions of a source


class Quick(Asked):
    """Knows its questions without its pictures, which are gone."""

    def questions(self, index: int) -> tuple[Question, ...]:
        return self.questions_of(index)

    def __getitem__(self, index: int):
        raise BadSample("image_missing")


def test_questions_are_read_without_pictures_where_the_source_can():
    assert questions_of(Quick(4), 1) == questions_of(Asked(4), 1)
    assert questions_of(Numbers(4), 1) == ()
    with pytest.raises(BadSample):
        questions_of(Asked(4, {1: "image_empty"}), 1)
    mixture = Mixture({"a": Numbers(4), "b": Quick(4)})
    assert questions_of(mixture, 5) == questions_of(Asked(4), 1)


@pytest.mark.parametrize("source", [Quick(21), Asked(21, {20: "image_empty"})])
def test_answers_are_counted_over_the_whole_source(source):
    found = count_answers(source)
    assert found["yes"] == 4 * 16 and found["odd"] == 2 * 16 and found["the"] == 16
    assert found["7"] == 1 and "10" not in found  # nobody has answered about it
    assert CLASSES[0] == found.most_common()[0][0]


def test_a_tokenizer_is_trained_on_questions_and_answers():
    found = list(spread_questions(Quick(10), 3))  # examples 0, 4 and 9
    assert found[0] == "0!"
    assert found[1:3] == ["4!", "4?"] and found[3:6] == ["yes", "yes", "odd"]
    assert len(found) == 1 + 2 * (2 + 8)
    assert list(spread_questions(Asked(10, {4: "image_empty"}), 3)) == [
        found[0],
        *found[11:],
    ]

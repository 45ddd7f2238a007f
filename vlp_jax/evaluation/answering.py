"""Answers to questions about pictures, as the VQA challenge counts them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from vlp_jax.core.answers import normalise_answer
from vlp_jax.core.errors import BadSample, check_range
from vlp_jax.core.named_texts import named_texts
from vlp_jax.core.types import Example, Predictor, Question, Report, Source
from vlp_jax.evaluation.abilities import check_ability
from vlp_jax.evaluation.choosing import mixture
from vlp_jax.evaluation.metrics.answering import commonest, is_exact, vqa_accuracy
from vlp_jax.evaluation.reading import Chunk, Reader

TASK = "vqa"
FROM_SOURCE = "answers"


class QuestionAnswering:
    """Asks a model all questions of a source about its pictures.

    Args:
      source: examples with questions and their answers; those without are skipped
        ('question_missing', 'answer_missing').
      candidates: the answers that the model chooses from: a text file with one a line,
        the answers, or 'answers', those that occur in the source (it then knows more
        than it could know elsewhere); None: what the model says by itself.
      limit: only the first `limit` samples; None means all.
      gallery: how many questions the report shows, half of them answered right.

    Metrics: vqa_accuracy, the mean over questions of the VQA challenge's; exact_match,
    the share of guesses that are the commonest answer. Details: kinds (accuracy by the
    first two words of the question), gallery; skipped, samples, questions.
    """

    def __init__(
        self,
        source: Source,
        candidates: str | Sequence[str] | None = None,
        limit: int | None = None,
        gallery: int = 24,
    ):
        check_range("vqa: limit", limit, 1)
        check_range("vqa: gallery", gallery, 0)
        self.source, self.limit, self.gallery = source, limit, gallery
        self.from_source = candidates == FROM_SOURCE
        self.candidates = None
        if candidates is not None and not self.from_source:
            self.candidates = named_texts(
                candidates, {FROM_SOURCE: ()}, "vqa: candidates"
            )

    def run(self, predictor: Predictor) -> Report:
        """Reads the source once; pictures of the gallery are read a second time.

        With candidates of the source all questions are read before.
        """
        check_ability(predictor, "answer", "vqa")
        reader = Reader(self.source, predictor, self.limit, _check)
        candidates = self.candidates
        if self.from_source:
            candidates = known_answers(self.source, reader.size)
        found: list[Answered] = []
        samples = 0
        for chunk in reader.followed("batches asked about"):
            samples += len(chunk.examples)
            found += _answers(predictor, chunk, candidates)
        score = np.array([vqa_accuracy(x.guess, x.question.answers) for x in found])
        exact = np.array([is_exact(x.guess, x.question.answers) for x in found])
        details = {
            "kinds": accuracy_by_kind([x.question.text for x in found], score),
            "gallery": [
                {
                    "picture": reader.picture(found[n].index),
                    "question": found[n].question.text,
                    "answer": found[n].guess,
                    "answers": _counted(found[n].question.answers),
                    "accuracy": float(score[n]),
                }
                for n in mixture(score > 0, self.gallery)
            ],
            "skipped": dict(reader.skipped),
            "samples": samples,
            "questions": len(found),
        }
        metrics = {"vqa_accuracy": score.mean(), "exact_match": exact.mean()}
        metrics = {name: float(value) for name, value in metrics.items()}
        return Report(TASK, self.source.name, metrics, details)


class Answered(NamedTuple):
    """A question about the sample at `index`, and what the model says."""

    index: int
    question: Question
    guess: str


def _answers(
    predictor: Predictor, chunk: Chunk, candidates: Sequence[str] | None
) -> Iterator[Answered]:
    """All questions about the pictures of a chunk, a batch at a time."""
    asked = [
        (row, question)
        for row, example in enumerate(chunk.examples)
        for question in example.questions
        if question.answers
    ]
    for start in range(0, len(asked), predictor.batch_size):
        part = asked[start : start + predictor.batch_size]
        pictures = chunk.pictures[[row for row, _ in part]]
        texts = [question.text for _, question in part]
        guesses = predictor.answer(pictures, texts, candidates)
        for (row, question), guess in zip(part, guesses, strict=True):
            yield Answered(chunk.indices[row], question, guess)


def known_answers(source: Source, size: int) -> tuple[str, ...]:
    """The answers of the first samples in normal form, in the order of the alphabet."""
    read = getattr(source, "questions", None)
    found = set()
    for index in range(size):
        try:
            questions = source[index].questions if read is None else read(index)
        except BadSample:
            continue
        found |= {normalise_answer(a) or a for q in questions for a in q.answers}
    return tuple(sorted(found - {""}))


def accuracy_by_kind(questions: Sequence[str], score: np.ndarray) -> list[dict]:
    """{name, count, accuracy} by the first two words; the commonest first."""
    kinds = [" ".join(text.lower().split()[:2]) for text in questions]
    counts, total = Counter(kinds), Counter()
    for kind, value in zip(kinds, score.tolist(), strict=True):
        total[kind] += value
    return [
        {"name": kind, "count": count, "accuracy": total[kind] / count}
        for kind, count in sorted(counts.items(), key=lambda x: (-x[1], x[0]))
    ]


def _counted(answers: Sequence[str]) -> list[dict[str, Any]]:
    """The different answers, the right one first, and how many people gave each."""
    counts = Counter(map(normalise_answer, answers))
    first = commonest(answers)
    order = sorted(counts, key=lambda x: (x != first, -counts[x]))
    return [{"text": text, "count": counts[text]} for text in order]


def _check(example: Example) -> None:
    if not example.questions:
        raise BadSample("question_missing", example.name)
    if not any(question.answers for question in example.questions):
        raise BadSample("answer_missing", example.name)

"""The stream `questions`: a picture, a question about it, and the answers to it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vlp_jax.core.errors import BadSample
from vlp_jax.core.logs import track
from vlp_jax.core.types import Example, Question, Source
from vlp_jax.data.answers import learned_answers, scored_classes
from vlp_jax.data.order import BlockOrder, MixedOrder, Order
from vlp_jax.data.samples import Samples


def questions_of(source: Source, index: int) -> tuple[Question, ...]:
    """Those of an example, without its picture where the source can; BadSample."""
    read = getattr(source, "questions", None)
    return source[index].questions if read is None else read(index)


def count_answers(source: Source) -> Counter[str]:
    """How often people gave each answer in a whole source."""
    found: Counter[str] = Counter()
    for index in track(range(len(source)), len(source), "samples read for answers"):
        try:
            asked = questions_of(source, index)
        except BadSample:
            continue
        for question in asked:
            found.update(learned_answers(question))
    return found


def spread_questions(source: Source, samples: int) -> Iterator[str]:
    """Questions and answers of so many evenly spread examples."""
    count = min(samples, len(source))
    for index in np.linspace(0, len(source) - 1, count).astype(int):
        try:
            asked = questions_of(source, int(index))
        except BadSample:
            continue
        for question in asked:
            yield question.text
            yield from learned_answers(question)


class QuestionSamples(Samples):
    """Samples (samples.py) with one of the questions that somebody has answered.

    One of its answers is drawn as often as people gave it; all of them that are
    classes have their scores.

    Args:
      tokenize: questions -> (tokens int32 [n, L], mask bool [n, L]).
      tokenize_answer: the same for answers.
      classes: the answers that are classes, by their numbers.
    """

    def __init__(
        self,
        source: Source,
        order: Order | BlockOrder | MixedOrder,
        prepare: Callable,
        tokenize: Callable,
        seed: int,
        tokenize_answer: Callable,
        classes: Sequence[str],
    ):
        super().__init__(source, order, prepare, tokenize, seed)
        self.tokenize_answer = tokenize_answer
        self.numbers = {text: number for number, text in enumerate(classes)}

    def check(self, example: Example) -> None:
        if not example.questions:
            raise BadSample("question_missing")
        if not any(map(learned_answers, example.questions)):
            raise BadSample("answer_missing")

    def texts(
        self, example: Example, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        learned = [(q.text, learned_answers(q)) for q in example.questions]
        learned = [(text, answers) for text, answers in learned if answers]
        question, answers = learned[rng.integers(len(learned))]
        answer = answers[rng.integers(len(answers))]
        tokens, mask = self.tokenize([question])
        answer_tokens, answer_mask = self.tokenize_answer([answer])
        labels, scores = scored_classes(answers, self.numbers)
        return {
            "text_tokens": tokens[0],
            "text_mask": mask[0],
            "answer_tokens": answer_tokens[0],
            "answer_mask": answer_mask[0],
            "answer_labels": labels,
            "answer_scores": scores,
        }

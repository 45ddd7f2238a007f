"""A source of numbered pictures that are asked about, and samples of it."""

from tests.data.numbered import Numbers, prepare, tokenize
from vlp_jax.core.types import Example, Question
from vlp_jax.data.order import Order
from vlp_jax.data.questions import QuestionSamples

CLASSES = ("yes", "0", "1", "2")


class Asked(Numbers):
    """Example i: 'i?', which four call 'yes', two 'odd', one each 'i' and 'the'; 'i!'.

    Nobody has answered 'i!'; every tenth example has no other question, and every
    tenth from 5 on has none at all.
    """

    def questions_of(self, index: int) -> tuple[Question, ...]:
        given = ("Yes", "yes.", "odd", f"{index}", "odd", "yes", "the", "YES")
        open_one = Question(f"{index}!", ("", " "))
        if index % 10 == 5:
            return ()
        if index % 10 == 0:
            return (open_one,)
        return (open_one, Question(f"{index}?", given))

    def __getitem__(self, index: int) -> Example:
        found = super().__getitem__(index)
        return Example(found.image, questions=self.questions_of(index), name=found.name)


def answer_tokens(texts):
    """Five letters of each answer."""
    tokens, mask = tokenize([text[:5] for text in texts])
    return tokens[:, :5], mask[:, :5]


def questions(size=40, seed=0, bad=None, classes=CLASSES) -> QuestionSamples:
    order = Order(size, seed)
    more = answer_tokens, classes
    return QuestionSamples(Asked(size, bad), order, prepare, tokenize, seed, *more)

"""Tokens of captions beside those of Stanford's PTBTokenizer.

The tokens of ALIKE and UNLIKE are what pycocoevalcap 1.2 finds with Java 17
(tests/peers/coco_captions_side.py, `tokens`).
"""

import pytest

from vlp_jax.evaluation.metrics.caption_tokens import caption_tokens

ALIKE = [
    (
        "A man's T-shirt, and his dog's.",
        "a man 's t-shirt and his dog 's",
    ),
    (
        "a dog doesn't run; it isn't here and they've can't've",
        "a dog does n't run it is n't here and they 've ca n't 've",
    ),
    (
        "I cannot go, 'cause we're gonna wanna stay",
        "i can not go 'cause we 're gon na wan na stay",
    ),
    (
        'Two "red" trains -- one is `blue\' -- pass (slowly) by...',
        "two red trains one is blue pass -lrb- slowly -rrb- by",
    ),
    (
        "a sign that reads “don’t walk”",
        "a sign that reads do n't walk",
    ),
    (
        "Mr. Smith of St. Louis, U.S.A., at 10:30 a.m. on Jan. 5",
        "mr. smith of st. louis u.s.a. at 10:30 a.m. on jan. 5",
    ),
    (
        "bus no. 5 costs $5.50 or £3, 1,000 people",
        "bus no. 5 costs $ 5.50 or # 3 1,000 people",
    ),
    (
        "a black/white half-eaten 3-year-old's birthday cake 2/3 gone",
        "a black/white half-eaten 3-year-old 's birthday cake 2/3 gone",
    ),
    (
        "it's 5 o'clock, ma'am; y'all rock'n'roll",
        "it 's 5 o'clock ma'am y' all rock 'n' roll",
    ),
    (
        "the 1980's and '90s: 50% more, #1!! what?!",
        "the 1980 's and '90s 50 % more # 1 !! what ?!",
    ),
    (
        "a letter B. The dog 😀 by J. Smith",
        "a letter b the dog by j. smith",
    ),
    (
        "a stop sign.the dog [left] {right} & R&B",
        "a stop sign.the dog -lsb- left -rsb- -lcb- right -rcb- & r&b",
    ),
    (
        "café naïve 日本 ½ pint 70°F – nice… smile :)",
        "café naïve 日本 1/2 pint 70 ° f nice smile :-rrb-",
    ),
    (
        "see www.coco.org or http://a.b/c, mail me@x.com",
        "see www.coco.org or http://a.b/c mail me@x.com",
    ),
    (
        "7-11 F-16 10-15 +5 -5 5x5 5ft 5'6 5th 60's",
        "7-11 f-16 10-15 +5 -5 5x5 5ft 5 6 5th 60 's",
    ),
    (
        "a man,a woman \t and  a child ;a hen",
        "a man a woman and a child a hen",
    ),
]
# Caption, their tokens, ours.
UNLIKE = [
    (
        "call (555)555-1234 now",
        "call -lrb-555-rrb-555-1234 now",
        "call -lrb- 555 -rrb- 555-1234 now",
    ),
    ("written in C++", "written in c++", "written in c + +"),
    (";-] and ^_^", ";-] and ^_^", "-rsb- and ^ _ ^"),
]


@pytest.mark.parametrize(("caption", "expected"), ALIKE)
def test_as_stanfords(caption, expected):
    assert " ".join(caption_tokens(caption)) == expected


@pytest.mark.parametrize(("caption", "theirs", "ours"), UNLIKE)
def test_what_differs(caption, theirs, ours):
    """Telephone numbers, names with signs, faces made of signs."""
    assert " ".join(caption_tokens(caption)) == ours != theirs


def test_tokens_of_tokens_are_the_same():
    """Captions of sets that are tokenised already stay as they are."""
    for caption in ("a man rides a wave", "a dog 's red t-shirt", "it is n't here"):
        assert caption_tokens(caption) == caption.split()


def test_a_single_letter_at_the_end_keeps_no_full_stop():
    """Stanford's keeps it where the next line of its file starts in lower case."""
    assert caption_tokens("the letter B.") == ["the", "letter", "b"]
    assert caption_tokens("J. Smith") == ["j.", "smith"]


def test_nothing():
    assert caption_tokens(" . , \n") == [] and caption_tokens("") == []

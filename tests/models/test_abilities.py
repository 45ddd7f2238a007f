"""Abilities follow from the outputs of a model, and from what they are computed of."""

import pytest
from flax import linen as nn

from vlp_jax.models.abilities import abilities, writes_answers
from vlp_jax.models.albef import Albef


class Embeds(nn.Module):
    def image_embedding(self, image): ...

    def text_embedding(self, text_tokens): ...


class Matches(nn.Module):
    def image_tokens(self, image): ...

    def match(self, image_tokens, text_tokens, text_mask): ...


class Captions(Embeds):
    def start(self, image_tokens, text_tokens=None): ...

    def next_logits(self, memory, tokens, position): ...

    def caption_logits(self, image_tokens, text_tokens): ...


class Both(Captions):
    def answer_token_logits(self, image_tokens, text_tokens, answer_tokens): ...


class OnlyAnswers(Both):
    lacks = ("caption_logits",)


class Classes(Embeds):
    def answer_logits(self, image_tokens, text_tokens): ...


@pytest.mark.parametrize(
    ("model", "answers", "expected"),
    [
        (Embeds(), (), {"embed"}),
        (Matches(), ("yes",), {"match"}),
        (Captions(), ("yes",), {"embed", "generate"}),
        (Both(), (), {"embed", "generate", "answer"}),
        (OnlyAnswers(), (), {"embed", "answer"}),
        (Classes(), (), {"embed"}),
        (Classes(), ("yes", "no"), {"embed", "answer"}),
    ],
)
def test_abilities(model, answers, expected):
    found = abilities(model, answers)
    assert {name for name in found if found[name]} == expected


PARTS = (Embeds(), Embeds(), Embeds(), 8, (0.5,) * 3, (0.3,) * 3)


@pytest.mark.parametrize(
    ("settings", "answers", "expected"),
    [
        (dict(), (), {"embed", "match"}),
        (dict(answers=2), ("yes", "no"), {"embed", "match", "answer"}),
        (dict(decoder=Embeds()), (), {"embed", "match", "answer"}),
    ],
)
def test_albef(settings, answers, expected):
    found = abilities(Albef(*PARTS, **settings), answers)
    assert {name for name in found if found[name]} == expected


def test_a_decoder_answers_instead_of_classes():
    assert writes_answers(Both()) and not writes_answers(Captions())
    assert writes_answers(Albef(*PARTS, decoder=Embeds(), answers=2))
    assert not writes_answers(Albef(*PARTS, answers=2))

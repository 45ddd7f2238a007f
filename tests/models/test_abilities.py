"""Abilities follow from methods, their parameters, and parts that may be left out."""

import pytest
from flax import linen as nn

from vlp_jax.models.abilities import abilities, writes_answers


class Embeds(nn.Module):
    def image_embedding(self, image): ...

    def text_embedding(self, text_tokens): ...


class Matches(nn.Module):
    def image_tokens(self, image): ...

    def match(self, image_tokens, text_tokens, text_mask): ...


class Captions(Embeds):
    def start(self, image_tokens): ...

    def next_logits(self, memory, tokens, position): ...


class Answers(Captions):
    decoder: nn.Module | None = None

    def start(self, image_tokens, text_tokens, text_mask): ...

    def answer_logits(self, image_tokens, text_tokens): ...


class Both(Captions):
    def start(self, image_tokens, text_tokens=None, text_mask=None): ...


@pytest.mark.parametrize(
    ("model", "answers", "expected"),
    [
        (Embeds(), (), {"embed"}),
        (Matches(), ("yes",), {"match"}),
        (Captions(), (), {"embed", "generate"}),
        (Both(), (), {"embed", "generate", "answer"}),
        (Answers(decoder=Embeds()), (), {"embed", "answer"}),
        (Answers(), (), {"embed"}),
        (Answers(), ("yes", "no"), {"embed", "answer"}),
    ],
)
def test_abilities(model, answers, expected):
    found = abilities(model, answers)
    assert {name for name in found if found[name]} == expected


def test_a_decoder_answers_instead_of_classes():
    assert writes_answers(Answers(decoder=Embeds())) and writes_answers(Both())
    assert not writes_answers(Answers()) and not writes_answers(Captions())

"""Contracts that are compared, sorted and filled in with defaults of their own."""

import dataclasses

import pytest

from vlp_jax.core.types import Example, Need, Question, Term


def test_needs_are_equal_by_what_they_ask_for_and_sort_by_name():
    image, text = Need("image_embedding"), Need("text_embedding")
    momentum = Need("image_embedding", parameters="momentum")
    assert image == Need("image_embedding", "pairs", "live") and image != momentum
    assert len({image, Need("image_embedding"), momentum}) == 2
    assert sorted({text, momentum, image}) == [image, momentum, text]


def test_terms_do_not_share_their_metrics():
    one, other = Term(1.0, 2.0), Term(1.0, 2.0)
    one.metrics["loss"] = 0.5
    assert other.metrics == {} and other.state == ()


def test_an_example_needs_a_picture_alone_and_cannot_be_changed():
    example = Example(b"picture")
    assert (example.captions, example.caption_weights, example.label) == ((), (), None)
    assert (example.questions, example.regions, example.name) == ((), (), "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        example.label = 3
    assert Question("how many?", ("two",)).id == ""

"""Families are found by their towers; values without an equal are refused."""

import pytest

from tests.porting.tiny_models import short
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting.description import (
    Family,
    family_of,
    hidden_width,
    refuse_unless,
    translated,
)


def family(image: str, text: str) -> Family:
    return Family((image, text), rules=list, write=dict, read=dict)


TABLE = {"one": family("vit", "transformer"), "other": family("vit", "bert")}


def test_a_family_is_found_by_both_towers():
    model = {"image": {"kind": "vit"}, "text": {"kind": "bert"}}
    assert family_of(TABLE, model, "there") is TABLE["other"]
    model = {"image": {"kind": "resnet"}, "text": {"kind": "bert"}}
    with pytest.raises(ConfigError) as error:
        family_of(TABLE, model, "this library")
    assert str(error.value) == (
        "this library has no place for the towers resnet with bert; it has some for: "
        "vit with transformer; vit with bert"
    )


def test_a_model_of_another_kind_is_found_by_that():
    table = TABLE | {"third": Family(("vilt",), rules=list, write=dict, read=dict)}
    model = {"kind": "vilt", "image": {"kind": "vit"}, "text": {"kind": "bert"}}
    assert family_of(table, model, "there") is table["third"]
    model["kind"] = "two_tower"
    assert family_of(table, model, "there") is TABLE["other"]
    with pytest.raises(ConfigError) as error:
        family_of(TABLE, {"kind": "vilt"}, "this library")
    assert str(error.value) == (
        "this library has no place for a model of kind vilt; it has some for: "
        "vit with transformer; vit with bert"
    )


def test_values_and_those_without_an_equal():
    assert translated({"a": 1}, "a", "pool") == 1
    with pytest.raises(ConfigError, match=r"pool is 'b', .* no equal there \(a, c\)"):
        translated({"a": 1, "c": 2}, "b", "pool")


def test_what_does_not_hold_is_said():
    refuse_unless(True, "nothing")
    with pytest.raises(ConfigError, match="^this model is another$") as error:
        refuse_unless(False, "this model is another")
    assert short(error)


def test_the_width_within_a_block_is_a_whole_number():
    assert hidden_width({"width": 1152, "mlp_ratio": 3.7362}) == 4304
    assert hidden_width({"width": 24, "mlp_ratio": 62 / 24}) == 62

"""A wrong name or keyword is told with what is known and what was probably meant."""

import dataclasses

import pytest
from flax import linen as nn

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import call, lookup, parameters_of

TABLE = {"contrastive": 1, "sigmoid": 2}


def build(width, depth=2, mesh=None):
    return width, depth, mesh


@dataclasses.dataclass
class Settings:
    width: int
    scale: float = 1.0


class Module(nn.Module):
    width: int
    depth: int = 1


def test_a_known_name():
    assert lookup(TABLE, "sigmoid", "objective") == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "contrstive",
            "unknown objective 'contrstive'; known: contrastive, sigmoid; did you mean "
            "'contrastive'?",
        ),
        ("xyz", "unknown objective 'xyz'; known: contrastive, sigmoid"),
        ("", "unknown objective ''; known: contrastive, sigmoid"),
    ],
)
def test_an_unknown_name(name, said):
    with pytest.raises(ConfigError) as caught:
        lookup(TABLE, name, "objective")
    assert str(caught.value) == said


def test_names_that_are_numbers():
    with pytest.raises(ConfigError, match="unknown count 4; known: 1, 2"):
        lookup({1: "one", 2: "two"}, 4, "count")


def test_none_means_not_given():
    assert call(build, {"width": 3, "depth": None}, "tower") == (3, 2, None)


def test_given_objects_go_to_those_that_ask_for_them():
    assert call(build, {"width": 3}, "tower", mesh="mesh", other=1) == (3, 2, "mesh")
    assert call(Settings, {"width": 3}, "settings", mesh="mesh") == Settings(3)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"width": 1, "dept": 3}, "did you mean 'depth'?"),
        ({"width": 1, "dept": 3}, "(given: 3); it knows: width, depth"),
        ({"depth": 3}, "tower needs the setting 'width', which is not given"),
        ({"depth": 3, "width": None}, "tower needs the setting 'width'"),
        ({"width": 1, "mesh": "mine"}, "tower has no setting 'mesh'"),
    ],
)
def test_wrong_keywords(keywords, said):
    with pytest.raises(ConfigError) as caught:
        call(build, keywords, "tower", mesh="mesh")
    assert said in str(caught.value)


def test_the_fields_of_a_module_are_its_settings():
    assert list(parameters_of(Module)) == ["width", "depth"]
    assert call(Module, {"width": 8}, "module").depth == 1
    with pytest.raises(ConfigError, match="no setting 'name'"):
        call(Module, {"width": 8, "name": "mine"}, "module")


def test_values_of_another_type_than_the_signature_says():
    def build(width: int, rate: float = 1.0, name: str | None = None, *, free=None):
        return width, rate, name, free

    assert call(build, {"width": 3, "rate": 2, "free": 5}, "tower") == (3, 2, None, 5)
    for keywords, said in [
        ({"width": 3, "name": 5}, "tower: name is 5 (int); expected str"),
        ({"width": "3"}, "tower: width is '3' (str); expected int"),
        ({"width": True}, "tower: width is True (bool); expected int"),
        ({"width": 3, "rate": "x"}, "tower: rate is 'x' (str); expected float"),
    ]:
        with pytest.raises(ConfigError) as caught:
            call(build, keywords, "tower")
        assert str(caught.value) == said

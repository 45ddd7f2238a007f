"""Templates by name or as they are given, and the class names in them."""

from types import SimpleNamespace

import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.evaluation.prompts import chosen, fill, templates


def test_template_sets_fit_the_embedded_data():
    assert templates("photo") == ("a photo of a {}",)
    assert len(templates("openai_simple7")) == 7
    assert "a small red {}" in templates("digit_scenes")
    assert templates(["{}!"]) == ("{}!",)


def test_what_a_config_names_comes_before_what_a_source_brings():
    own, none = SimpleNamespace(templates=("own {}",)), SimpleNamespace()
    assert chosen(("x {}",), own) == ("x {}",)
    assert chosen(None, own) == ("own {}",)
    assert chosen(None, none) == chosen("photo", own) == ("a photo of a {}",)
    with pytest.raises(ConfigError, match="'a b' has no"):
        chosen(None, SimpleNamespace(templates=("a b",)))


def test_braces_in_a_class_name_mean_nothing():
    assert fill("a {} of {}", ["b", "{}", "{0}"]) == [
        "a b of b",
        "a {} of {}",
        "a {0} of {0}",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "templates is empty; give at least"),
        (("a {}", "b"), "template 'b' has no '{}' where the class name goes"),
        ("foto", "unknown prompt templates 'foto'.*did you mean 'photo'"),
    ],
)
def test_templates_that_cannot_be_filled(given, said):
    with pytest.raises(ConfigError, match=said):
        templates(given)

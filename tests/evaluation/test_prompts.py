"""Templates by name, from a file or as they are given, and the class names in them."""

import json
from types import SimpleNamespace

import pytest

from vlp_jax.core.class_prompts import fill
from vlp_jax.core.errors import ConfigError
from vlp_jax.evaluation.prompts import TEMPLATES, chosen, names, templates


def test_template_sets_fit_the_embedded_data():
    assert templates("photo") == ("a photo of a {}",)
    assert len(templates("openai_simple7")) == 7
    assert "a small red {}" in templates("digit_scenes")
    assert templates(["{}!"]) == ("{}!",)


def test_the_sets_are_named():
    known = names()
    assert {"photo", "digit_scenes", "openai_imagenet80"} <= set(known)
    assert all(templates(name) for name in known)


def test_the_published_sets():
    imagenet = templates("openai_imagenet80")
    assert len(imagenet) == len(set(imagenet)) == 80
    assert (imagenet[0], imagenet[-1]) == (
        "a bad photo of a {}.",
        "a tattoo of the {}.",
    )
    assert len(templates("cifar10")) == 18 and len(templates("caltech101")) == 34
    assert templates("food101") == ("a photo of {}, a type of food.",)
    assert len(set(templates("openai_resisc45"))) == 18
    for name in json.loads(TEMPLATES.read_text()):
        found = templates(name)
        assert len(found) == len(set(found)), name
        assert all(template.count("{") == 1 for template in found), name


def test_a_file_with_a_template_a_line(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("a {c}, plain.\n {} here\n")  # clip_benchmark's form, and ours
    assert templates(str(path)) == ("a {}, plain.", "{} here")
    path.write_text("a photo\n")
    with pytest.raises(ConfigError, match="template 'a photo' has no '{}'"):
        templates(str(path))


def test_what_a_config_names_comes_before_what_a_source_brings():
    own, none = SimpleNamespace(templates=("own {}",)), SimpleNamespace()
    assert chosen(("x {}",), own) == ("x {}",)
    assert chosen(None, own) == ("own {}",)
    assert len(chosen(None, SimpleNamespace(templates="openai_simple7"))) == 7
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
        ("foto", "unknown prompt templates 'foto', and no text.*did you mean 'photo'"),
        ((3,), "prompt templates is \\(3,\\); expected the name of a set"),
    ],
)
def test_templates_that_cannot_be_filled(given, said):
    with pytest.raises(ConfigError, match=said):
        templates(given)

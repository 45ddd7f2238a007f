"""Labels with names: which there are, and the captions made of them."""

import pytest

from tests.data.clip_benchmark_folders import multi_hot
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.classes import Classes

ANIMALS = Classes(("cat", "dog", "a {} of sheep"), ("a photo of a {}", "{} and {}"))


def test_captions_name_the_class_wherever_it_stands():
    assert ANIMALS.captions(1) == ("a photo of a dog", "dog and dog")
    assert Classes(("cat",)).captions(0) == ("a photo of a cat",)


def test_a_name_is_put_in_as_it_is():
    """Braces of a name or of a template are text."""
    assert ANIMALS.captions(2)[0] == "a photo of a a {} of sheep"
    assert Classes(("{0}",), ("{x} {}",)).captions(0) == ("{x} {0}",)


@pytest.mark.parametrize("label", [0, 2])
def test_labels_that_have_a_name(label):
    assert ANIMALS.check(label) == label


@pytest.mark.parametrize(
    ("label", "given", "said"),
    [
        (3, None, "3 of 3 classes"),
        (-1, None, "-1 of 3 classes"),  # not the last one
        (None, "dog", "'dog' of 3 classes"),
        (None, "x" * 90, f"'{'x' * 39} of 3 classes"),
        (None, None, "None of 3 classes"),
    ],
)
def test_labels_without_a_name_are_bad_samples(label, given, said):
    with pytest.raises(BadSample) as caught:
        ANIMALS.check(label, given)
    assert str(caught.value) == f"label_unreadable: {said}"


def test_without_names_every_label_will_do():
    assert [Classes().check(label) for label in (7, -1, None)] == [7, -1, None]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"names": "cat"}, "class_names is 'cat'; expected a tuple"),
        ({"templates": ("a {}", "a photo")}, "template 'a photo' has no '{}' for the"),
        ({"templates": (3,)}, "template 3 has no '{}'"),
    ],
)
def test_settings_that_make_no_sense(settings, said):
    with pytest.raises(ConfigError, match=said):
        Classes(**settings)


def test_classes_that_are_seen():
    assert ANIMALS.from_multi_hot(multi_hot(0, 0.5, 1)) == (1, 2)
    assert ANIMALS.from_multi_hot(multi_hot(0, 0, 0, kind="uint8")) == ()
    for broken in (b"", multi_hot(1, 0), multi_hot("a", "b", "c", kind="U1")):
        with pytest.raises(BadSample, match="label_unreadable: array of classes"):
            ANIMALS.from_multi_hot(broken)

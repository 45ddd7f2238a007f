"""What differs between the data of two runs, by name."""

from vlp_jax.data.fingerprint import difference, digest
from vlp_jax.data.sources.digit_scenes import DigitScenes


def test_a_digest_tells_apart_what_joins_to_the_same_text():
    found = {digest(*x) for x in (("ab", "c"), ("a", "bc"), ("abc",), (["a"], "bc"))}
    assert len(found) == 3  # nesting alone does not matter
    assert digest("a", 1, ("b", 2.5)) == digest("a", 1, ("b", 2.5))
    assert len(digest()) == 8


def test_equal_fingerprints_differ_in_nothing():
    assert difference({"a": "1"}, {"a": "1"}) == ""


def test_the_difference_names_the_parts():
    saved = {"a.tar": "1", "b.tar": "2", "c.tar": "3"}
    found = {"b.tar": "2", "c.tar": "9", "d.tar": "4"}
    said = difference(saved, found)
    assert said == "1 missing: a.tar; 1 new: d.tar; 1 changed: c.tar"


def test_digit_scenes_of_other_settings_are_other_data():
    first, again, other = (DigitScenes(size=n).fingerprint for n in (10, 10, 11))
    assert first == again and difference(first, other) == "1 changed: train"

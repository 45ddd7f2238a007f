"""Settings that nobody has given yet: what the keywords of builders say of them."""

from ml_collections import ConfigDict

from tests.builders_of_kinds import TABLE
from vlp_jax import recipe
from vlp_jax.open_settings import GIVEN, keywords


def test_keywords_have_the_types_that_the_command_line_parses():
    found = recipe.block(TABLE, None)
    types = {key: found.get_type(key) for key in found}
    assert types == {
        "kind": str,
        "given": str,
        "a": int,
        "b": object,  # of two types
        "c": bool,
        "d": str,
        "e": tuple,
        "f": str,  # says nothing
        "g": object,  # in the notation of Python
        "h": tuple,
    }
    assert all(value is None for value in found.values())
    assert "given" not in recipe.keywords(TABLE, hidden=("given",))


def test_what_the_build_hands_over_is_no_setting():
    def builder(width: int, mesh=None, vocab_size: int = 1):
        """Of which only the first is a person's to choose."""

    assert {"mesh", "vocab_size"} <= set(GIVEN)
    found = ConfigDict(keywords({"kind": builder}))
    assert list(found) == ["width"] and found.get_type("width") is int

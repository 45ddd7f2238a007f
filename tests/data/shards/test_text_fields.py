"""Which members and JSON keys are captions, how often each is drawn, what is none."""

import json

import pytest

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.files import LIMITS
from vlp_jax.data.shards.index import UNKNOWN
from vlp_jax.data.shards.text_fields import (
    Captions,
    TextFields,
    member_of,
    read_json,
)

BITS = {"txt": 1, "json.title": 2, "json.alt": 4}
CONTENT = {"title": "a title", "alt": ["one", "", "two"], "n": 3}
MEMBERS = {
    "txt": b"\xef\xbb\xbf a red\n box ",
    "json": json.dumps(CONTENT).encode(),
}


def fields(*names: str, weights=None, first_only=False) -> TextFields:
    return TextFields(names, weights, first_only)


def cause(name: str, content, key: str = "json") -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(BadSample) as caught:
        fields(name).read([name], {key: data})
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("txt", ("txt", None)),
        ("caption.txt", ("caption.txt", None)),
        ("json", ("json", None)),
        ("json.caption", ("json", "caption")),
        ("meta.json.a.b", ("meta.json", "a.b")),
        ("xjson.caption", ("xjson.caption", None)),
        ("json.", ("json.", None)),
    ],
)
def test_the_member_that_a_name_means(name, member):
    assert member_of(name) == member


def test_json_is_an_object():
    assert read_json(b'{"caption": null}') == {"caption": None}
    for broken in (b"[1]", b'{"caption": "cut o', b"\xff\xfe\xff", b"[" * 100_000):
        with pytest.raises(BadSample, match="caption_unreadable: JSON"):
            read_json(broken)


def test_the_lines_of_a_text_file():
    data = {"txt": b"\xef\xbb\xbf one \n\ntwo\r\n"}
    assert fields("txt").read(["txt"], data).captions == ("one two",)
    lines = TextFields(("txt",), None, first_only=False, lines=True)
    assert lines.read(["txt"], data).captions == ("one", "two")
    for broken, reason in ((b" \n\n", "caption_missing"), (b"\xe9", "unreadable")):
        with pytest.raises(BadSample, match=reason):
            lines.read(["txt"], {"txt": broken})


# ---- settings


@pytest.mark.parametrize(
    ("names", "weights", "first_only", "said"),
    [
        ((), None, False, "captions is .*; expected names of fields"),
        ((5,), None, False, r"captions is \(5,\); expected names of fields, such as"),
        (("a", "b"), (1.0,), False, "give captions, and one weight for each of them"),
        (("a",), (1.0, 2.0), False, "one weight for each"),
        (("a",), (1.0,), True, "give captions, and one weight"),  # those of default
        (("a", "b"), (-1.0, 2.0), False, "caption_weights is .* positive numbers"),
        (("a", "b"), (0, 0), False, "expected positive numbers"),
        (("a",), (float("inf"),), False, "expected positive numbers"),
        (("a",), (float("nan"),), False, "expected positive numbers"),
        (("a",), ("1",), False, "expected positive numbers"),
    ],
)
def test_settings_that_make_no_sense(names, weights, first_only, said):
    with pytest.raises(ConfigError, match=said):
        TextFields(names, weights, first_only)


# ---- which fields are looked at


def test_the_fields_that_a_sample_has():
    chosen = fields("json.title", "txt", "json.alt")
    assert chosen.candidates(BITS, has=1 | 4) == ["txt", "json.alt"]
    assert chosen.candidates(BITS, has=0) == []
    assert fields("other").candidates(BITS, has=7) == []


def test_the_first_field_is_enough_where_it_is_known():
    chosen = fields("txt", "json.title", first_only=True)
    assert chosen.candidates(BITS, has=3) == ["txt"]
    assert chosen.candidates(BITS, has=2) == ["json.title"]


def test_texts_of_json_that_were_not_noted_may_be_there():
    has = 1 | UNKNOWN
    chosen = ("json.title", "txt", "json.alt", "other")
    expected = ["json.title", "txt", "json.alt"]
    for first_only in (False, True):
        found = fields(*chosen, first_only=first_only).candidates(BITS, has)
        assert found == expected


# ---- what they hold


def test_captions_of_several_fields_in_their_order():
    names = ["json.alt", "txt"]
    found = fields(*names).read(names, MEMBERS)
    assert found == Captions(("one", "two", "a red box"), ())


def test_a_field_shares_its_weight_among_its_captions():
    names = ["json.alt", "txt", "json.title"]
    found = fields(*names, weights=(3, 1, 0)).read(names, MEMBERS)
    assert found.captions == ("one", "two", "a red box", "a title")
    assert found.caption_weights == (1.5, 1.5, 1.0, 0.0)


def test_weights_that_are_all_zero_are_those_of_no_field():
    """Where the only field that a sample has weighs nothing, its captions are alike."""
    names = ("txt", "json.alt")
    found = fields(*names, weights=(1, 0)).read(["json.alt"], MEMBERS)
    assert found == Captions(("one", "two"), ())


def test_the_first_field_that_can_be_used():
    names = ["json.none", "json.title", "txt"]
    found = fields(*names, first_only=True).read(names, MEMBERS)
    assert found == Captions(("a title",), ())


def test_of_several_fields_what_cannot_be_used_is_skipped():
    names = ["json.title", "txt"]
    found = fields(*names).read(names, MEMBERS | {"json": b"[1]"})
    assert found == Captions(("a red box",), ())
    with pytest.raises(BadSample, match="caption_unreadable: JSON that is no object"):
        fields(*names).read(names, {"json": b"[1]"})  # the first reason
    with pytest.raises(BadSample, match="caption_missing"):
        fields(*names).read([], MEMBERS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"caption": None}, "caption_missing: json.caption"),
        ({"caption": 3}, "caption_missing: json.caption"),
        ({"caption": [1, "", "\x07"]}, "caption_missing: json.caption"),
        ({}, "caption_missing: json.caption"),
        ({"caption": "w " * 9000}, "caption_too_long: json.caption"),
    ],
)
def test_texts_in_json_that_are_none(content, said):
    assert cause("json.caption", content) == said


def test_members_that_are_no_caption():
    assert cause("txt", b"x", key="json") == "caption_missing: txt"
    assert cause("txt", b"\n", key="txt").startswith("caption_missing")
    assert cause("txt", b"caf\xe9", key="txt").startswith("caption_unreadable: txt: ")
    size = LIMITS["caption"] + 1
    said = f"caption_too_long: txt, {size:,} bytes"
    assert cause("txt", bytes(size), key="txt") == said
    assert cause("json.x", bytes(size)) == said.replace("txt", "json")

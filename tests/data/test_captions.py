"""What a caption is made of, and what is none."""

from collections import Counter

import pytest

from vlp_jax.core.errors import BadSample
from vlp_jax.data.captions import MAX_CAPTION, clean_caption, usable


@pytest.mark.parametrize(
    "text, clean",
    [
        ("  a\t red \n square ", "a red square"),
        ("cafe\u0301", "café"),
        ("a\x00b\x1bc\u200dd", "abc\u200dd"),  # the joiner of emoji and Indic scripts
        ("\ud83da dog", "a dog"),
        ("<b>dog</b>", "<b>dog</b>"),
    ],
)
def test_clean_caption(text, clean):
    assert clean_caption(text) == clean


@pytest.mark.parametrize(
    "text, cause",
    [
        ("", "caption_missing"),
        ("\x00 \t", "caption_missing"),
        ("x" * 10**7, "caption_too_long"),
    ],
)
def test_captions_that_are_refused(text, cause):
    with pytest.raises(BadSample) as caught:
        clean_caption(text)
    assert caught.value.cause == cause


def test_the_longest_caption_that_is_one():
    assert clean_caption("x" * MAX_CAPTION) == "x" * MAX_CAPTION
    with pytest.raises(BadSample, match="caption_too_long: 10,001 characters"):
        clean_caption("x" * MAX_CAPTION + " ")


def test_what_cannot_be_used_is_counted_by_its_cause():
    dropped = Counter(caption_missing=2)
    texts = ["a  dog", "", "x" * 10**5, "\x00", "ein Hund"]
    assert list(usable(iter(texts), dropped)) == ["a dog", "ein Hund"]
    assert dropped == {"caption_missing": 4, "caption_too_long": 1}

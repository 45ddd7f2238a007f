"""AutoTokenizer alone gives the ids of our Tokenizer, canonicalisation included."""

import numpy as np
import pytest

from tests.data.test_tokenizers import CAPTIONS, STRANGE
from vlp_jax.data.standalone_tokenizer import save_standalone
from vlp_jax.data.tokenizers import CANONICALISE, Tokenizer

LENGTH = 16
TEXTS = [
    *CAPTIONS,
    *(text for text in STRANGE if "<|" not in text),
    "a photo_of: the\tDog's\n Bone!",
    "  two   spaces, UPPER case & a tab\tin between  ",
    "一朵粉红色的花，在绿叶上。",
    "É\u00a0non\u2003breaking\u3000wide \u200b zero",
    "ΣΑΣ Σ ΣΑΣΣ, ΑΣ! İstanbul ß ﬁ \u0130",
    "()[]{}<>\\|/^$*+?.~`'\"@#%&=;:,-_!",
    "a-b_c__d",
    "\x00 \x1c \x85 control",
    "word " * 50,
]


def both(tmp_path, canonicalise, texts, sees_mask=True):
    """(ids and mask of ours, of AutoTokenizer, that tokenizer)."""
    from transformers import AutoTokenizer

    ours = Tokenizer.train(CAPTIONS, 300, LENGTH, canonicalise)
    save_standalone(ours, tmp_path, sees_mask)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    given = theirs(
        texts, padding="max_length", truncation=True, return_attention_mask=True
    )
    found = np.array(given["input_ids"]), np.array(given["attention_mask"], bool)
    return ours(texts), found, theirs


@pytest.mark.parametrize("canonicalise", CANONICALISE)
def test_the_same_ids_and_mask(tmp_path, canonicalise):
    (tokens, mask), (found, seen), _ = both(tmp_path, canonicalise, TEXTS)
    different = [
        text
        for text, one, other in zip(TEXTS, tokens, found, strict=True)
        if (one != other).any()
    ]
    assert different == []
    np.testing.assert_array_equal(mask, seen)
    assert found.shape == (len(TEXTS), LENGTH)


def test_what_it_says_of_itself(tmp_path):
    """Lengths and special tokens, and whether the model gets a mask."""
    _, _, theirs = both(tmp_path / "a", "none", ["a"])
    assert theirs.model_max_length == LENGTH and theirs.padding_side == "right"
    ids = (theirs.pad_token_id, theirs.mask_token_id, theirs.bos_token_id)
    assert (*ids, theirs.eos_token_id) == (0, 1, 2, 3)
    assert set(theirs("a")) == {"input_ids", "attention_mask"}
    _, _, blind = both(tmp_path / "b", "siglip", ["a"], sees_mask=False)
    assert set(blind("a")) == {"input_ids"}


@pytest.mark.parametrize("canonicalise", CANONICALISE)
def test_ours_reads_it_again(tmp_path, canonicalise):
    (tokens, mask), _, _ = both(tmp_path, canonicalise, TEXTS)
    again = Tokenizer.load(str(tmp_path), LENGTH)
    for one, other in zip((tokens, mask), again(TEXTS), strict=True):
        np.testing.assert_array_equal(one, other)


def test_markup_is_the_difference(tmp_path):
    """transformers reads special tokens in a caption as such; we read text.

    Where canonicalisation takes punctuation away there is nothing to be read so.
    """
    text = "a <|endoftext|> b"
    (ours, _), (theirs, _), _ = both(tmp_path / "none", "none", [text])
    assert (ours == 3).sum() == 1 and (theirs == 3).sum() == 2


def test_entities_are_the_other(tmp_path):
    """That CLIP's cleaning resolves in Python; to be done before."""
    (ours, _), (theirs, _), _ = both(tmp_path, "clip", ["a &lt; b", "a < b"])
    np.testing.assert_array_equal(ours[0], ours[1])
    np.testing.assert_array_equal(ours[1], theirs[1])
    assert (theirs[0] != theirs[1]).any()


def test_the_given_tokenizer_stays_as_it_is(tmp_path):
    ours = Tokenizer.train(CAPTIONS, 300, LENGTH, "siglip")
    before = ours(TEXTS)[0]
    save_standalone(ours, tmp_path, True)
    np.testing.assert_array_equal(ours(TEXTS)[0], before)

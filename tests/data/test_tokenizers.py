"""Our own tokenizer and foreign ones: ids, ends, padding, round trips, threads."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.tokenizers import Tokenizer

CAPTIONS = [
    f"a {size} {colour} {digit} {place} the picture"
    for size in ("small", "big")
    for colour in ("red", "blue", "yellow")
    for digit in ("three", "seven")
    for place in ("in", "above", "left of")
]
STRANGE = [
    "",
    "A RED Three",
    "cafe\u0301 日本 🦦",
    "<|endoftext|> or <|pad|>",
    "x" * 500,
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(CAPTIONS, vocab_size=320, length=16)


def test_special_tokens_and_shapes(tokenizer):
    special = (tokenizer.pad_id, tokenizer.mask_id, tokenizer.bos_id, tokenizer.eos_id)
    assert special == (0, 1, 2, 3)
    assert 260 < tokenizer.vocab_size <= 320
    tokens, mask = tokenizer(["a red three", ""])
    assert tokens.dtype == np.int32 and tokens.shape == (2, 16)
    assert mask.dtype == bool and mask.shape == (2, 16)
    assert tokens[1].tolist() == [2, 3] + [0] * 14
    assert mask[1].tolist() == [True] * 2 + [False] * 14
    assert tokens[0, 0] == 2 and tokens[0, mask[0].sum() - 1] == 3
    assert (tokens[0] != 0).tolist() == mask[0].tolist()


def test_one_text_equals_a_batch(tokenizer):
    tokens, mask = tokenizer(CAPTIONS + STRANGE)
    for row, text in enumerate(CAPTIONS + STRANGE):
        for given in (text, [text], (text,)):
            one, one_mask = tokenizer(given)
            np.testing.assert_array_equal(one[0], tokens[row])
            np.testing.assert_array_equal(one_mask[0], mask[row])
    assert tokenizer([])[0].shape == (0, 16)


def test_truncation_keeps_the_end(tokenizer):
    tokens, mask = tokenizer("x" * 500)
    assert tokens[0, 0] == 2 and tokens[0, 15] == 3 and mask.all()


def test_case_and_composition_do_not_matter_and_markup_is_text(tokenizer):
    tokens, _ = tokenizer(["Café RED", "cafe\u0301 red", "<|endoftext|>"])
    np.testing.assert_array_equal(tokens[0], tokens[1])
    assert (tokens[2] == 3).sum() == 1


def test_decode(tokenizer):
    tokens, _ = tokenizer(["A red three", "", "🦦"])
    assert tokenizer.decode(tokens) == ["a red three", "", "🦦"]


@pytest.mark.parametrize("canonicalise", ["none", "siglip"])
def test_saved_and_loaded_is_the_same(tmp_path, canonicalise):
    first = Tokenizer.train(CAPTIONS, 300, length=12, canonicalise=canonicalise)
    first.save(tmp_path)
    texts = [*CAPTIONS, *STRANGE, "A_red, Three!"]
    copies = Tokenizer.load(str(tmp_path), 12), pickle.loads(pickle.dumps(first))
    for copy in copies:
        assert copy.canonicalise == canonicalise
        assert copy.vocab_size == first.vocab_size
        for ours, theirs in zip(first(texts), copy(texts), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    special = ("pad_id", "mask_id", "bos_id", "eos_id")
    assert [getattr(copies[0], key) for key in special] == [0, 1, 2, 3]
    shorter = Tokenizer.load(str(tmp_path), 5, canonicalise="none")
    assert shorter(texts)[0].shape[1] == 5 and shorter.canonicalise == "none"


def test_threads_agree(tokenizer):
    expected, _ = tokenizer(CAPTIONS * 20)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda text: tokenizer(text)[0][0], CAPTIONS * 20))
    np.testing.assert_array_equal(np.stack(rows), expected)


# ---- foreign tokenizers, built here because tests have no network


def byte_alphabet() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def clip_tokenizer():
    from transformers import CLIPTokenizer

    bytes_ = byte_alphabet()
    pieces = [*bytes_, *(b + "</w>" for b in bytes_), "re", "red</w>", "do", "dog</w>"]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    merges = [("r", "e"), ("re", "d</w>"), ("d", "o"), ("do", "g</w>")]
    return CLIPTokenizer(vocab=vocab, merges=merges)


def gpt2_tokenizer():
    from transformers import GPT2Tokenizer

    pieces = [*byte_alphabet(), "re", "red", "<|endoftext|>"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    return GPT2Tokenizer(vocab=vocab, merges=[("r", "e"), ("re", "d")])


def bert_tokenizer():
    from transformers import BertTokenizer

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "dog", "##s", "a"]
    return BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)})


def test_clip_parity(tmp_path):
    """Same ids as transformers; the mask parts the end from padding of the same id."""
    reference = clip_tokenizer()
    reference.save_pretrained(tmp_path)
    ours = Tokenizer.load(str(tmp_path), length=20)
    texts = ["A red Dog's 3 bones", "", "café", "x" * 90]
    expected = reference(
        texts, padding="max_length", truncation=True, max_length=20, return_tensors="np"
    )
    tokens, mask = ours(texts)
    np.testing.assert_array_equal(tokens, expected["input_ids"])
    np.testing.assert_array_equal(mask, expected["attention_mask"].astype(bool))
    end = ours.vocab_size - 1
    assert (ours.bos_id, ours.eos_id, ours.pad_id) == (end - 1, end, end)
    assert ours.mask_id is None
    assert tokens[0, :4].tolist() == [
        end - 1,
        ours._backend.token_to_id("a</w>"),
        513,
        515,
    ]
    ours.save(tmp_path / "again")
    again = Tokenizer.load(str(tmp_path / "again"), length=20)
    np.testing.assert_array_equal(again(texts)[0], tokens)


def test_gpt2_gets_an_end_token(tmp_path):
    ours = Tokenizer(gpt2_tokenizer(), length=4)
    tokens, mask = ours(["red", "red" * 9, ""])
    red, end = 257, 258
    assert tokens.tolist() == [[red, end, end, end], [red, red, red, end], [end] * 4]
    assert mask.sum(1).tolist() == [2, 4, 1]
    assert ours.pad_id == ours.eos_id == end
    ours.save(tmp_path)
    again = Tokenizer.load(str(tmp_path), 4)
    np.testing.assert_array_equal(again(["red", "red" * 9, ""])[0], tokens)
    assert ours.decode(tokens) == ["red", "redredred", ""]


def test_gpt2_gets_a_start_token_where_a_decoder_needs_one(tmp_path):
    """Before and behind the text, within its length; saved with the tokenizer."""
    ours = Tokenizer(gpt2_tokenizer(), length=4, add_start=True)
    tokens, mask = ours(["red", "red" * 9, ""])
    red, end = 257, 258
    assert tokens.tolist() == [
        [end, red, end, end],
        [end, red, red, end],
        [end, end, end, end],
    ]
    assert mask.sum(1).tolist() == [3, 4, 2]
    ours.save(tmp_path)
    for again in (Tokenizer.load(str(tmp_path), 4), pickle.loads(pickle.dumps(ours))):
        np.testing.assert_array_equal(again(["red", "red" * 9, ""])[0], tokens)
    assert ours.decode(tokens) == ["red", "redred", ""]
    without = Tokenizer.load(str(tmp_path), 4, add_start=False)
    assert without("red")[0].tolist() == [[red, end, end, end]]


@pytest.mark.parametrize("make", [clip_tokenizer, bert_tokenizer])
def test_a_tokenizer_with_a_start_gets_no_other(make):
    expected = Tokenizer(make(), 6)(["a red dog"])
    found = Tokenizer(make(), 6, add_start=True)(["a red dog"])
    np.testing.assert_array_equal(found, expected)


def test_bert_ends_with_its_separator():
    ours = Tokenizer(bert_tokenizer(), length=5)
    assert (ours.pad_id, ours.bos_id, ours.eos_id, ours.mask_id) == (0, 2, 3, 4)
    tokens, _ = ours(["a red dogs", "a red dog a red dog"])
    assert tokens.tolist() == [[2, 8, 5, 6, 3], [2, 8, 5, 6, 3]]
    assert ours("dog zebra")[0].tolist() == [[2, 6, 1, 3, 0]]


def test_tokenizer_without_any_special_token(tmp_path):
    import tokenizers

    vocab = {"[unk]": 0, "red": 1, "dog": 7}  # ids with a hole
    words = tokenizers.models.WordLevel(vocab, unk_token="[unk]")
    bare = tokenizers.Tokenizer(words)
    bare.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    bare.enable_truncation(1)  # what a file brings along is undone
    bare.save(str(tmp_path / "tokenizer.json"))
    ours = Tokenizer.load(str(tmp_path), length=4)
    assert (ours.pad_id, ours.eos_id, ours.bos_id, ours.vocab_size) == (
        0,
        None,
        None,
        8,
    )
    assert ours("red dog")[0].tolist() == [[1, 7, 0, 0]]


# ---- words that are learned


def test_context_tokens_stand_for_themselves(tokenizer):
    """One id each, whatever surrounds them; what follows is split as behind a word."""
    known = tokenizer.with_context(["[v1]", "[v2]"])
    first = tokenizer.vocab_size
    assert known.vocab_size == first + 2 and known.has_context
    assert known.ids(["[v1]", "[v2]", "[v3]"]) == [first, first + 1, None]
    words = tokenizer("a red three")[0][0]
    for text in ("[v1] [v2] three", "[v1][v2] three", "[v1]  [v2] three"):
        tokens = known(text)[0][0]
        assert tokens[1:3].tolist() == [first, first + 1]
        assert tokens[3:].tolist() == words[3:].tolist() and tokens[0] == words[0]
    np.testing.assert_array_equal(known(CAPTIONS)[0], tokenizer(CAPTIONS)[0])
    assert known.is_context(known("a [v2]")[0]).sum() == 1
    assert known.unknown_context(["[v1] [c1_0]", "[v9]"]) == ["[c1_0]", "[v9]"]
    assert known.with_context(["[v2]", "[v1]"]) is known
    # Without them the same text is but text.
    assert not tokenizer.has_context and not tokenizer.is_context(words).any()
    assert (tokenizer("[v1]")[0] < first).all()


@pytest.mark.parametrize("canonicalise", ["none", "siglip", "clip", "open_clip"])
def test_context_tokens_outlive_what_is_done_to_texts(tmp_path, canonicalise):
    plain = Tokenizer.train(CAPTIONS, 320, 16, canonicalise)
    known = plain.with_context(["[v1]"])
    expected = known("[v1] A Red, three")[0]
    assert expected[0, 1] == plain.vocab_size
    bare = plain("a A Red, three")[0]
    assert expected[0, 2:].tolist() == bare[0, 2:].tolist()
    hostile = "\U000f0000[v1]\U000f0000 A Red, three"
    np.testing.assert_array_equal(known(hostile)[0], expected)
    known.save(tmp_path)
    again = pickle.loads(pickle.dumps(Tokenizer.load(str(tmp_path), 16)))
    np.testing.assert_array_equal(again("[v1] A Red, three")[0], expected)


# ---- refusals


def test_refusals(tmp_path, tokenizer):
    with pytest.raises(ConfigError, match="length=2; expected a whole number above 2"):
        Tokenizer.train(CAPTIONS, vocab_size=300, length=2)
    with pytest.raises(ConfigError, match="did you mean 'siglip'"):
        Tokenizer.train(CAPTIONS, vocab_size=300, length=9, canonicalise="siglp")
    with pytest.raises(ConfigError, match="no tokenizer folder './nowhere'"):
        Tokenizer.load("./nowhere", 16)
    with pytest.raises(ConfigError, match="no tokenizer could be read from"):
        Tokenizer.load(str(tmp_path), 16)
    tokenizer.save(tmp_path)
    whole = (tmp_path / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(whole[:-500])
    with pytest.raises(ConfigError, match="no tokenizer could be read from") as caught:
        Tokenizer.load(str(tmp_path), 16)
    assert str(caught.value).count("\n") == 1


def test_hub_that_cannot_be_reached(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no network here")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    monkeypatch.setattr("vlp_jax.data.tokenizers.rust_backed", unreachable)
    with pytest.raises(ConfigError, match="ConnectionError: no network here") as caught:
        Tokenizer.load("openai/clip-vit-base-patch32", 77)
    assert "hf download openai/clip-vit-base-patch32 tokenizer.json" in str(
        caught.value
    )
    assert str(caught.value).count("\n") == 1


@pytest.mark.fault("F20")
def test_code_beside_a_tokenizer_is_never_run(tmp_path, tokenizer):
    folder, mark = tmp_path / "tokenizer", tmp_path / "was-run"
    tokenizer.save(folder)
    code = f"open({str(mark)!r}, 'w')\nclass Evil: pass\n"
    (folder / "evil.py").write_text(code)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": "evil.Evil"}}
    path.write_text(json.dumps(config))
    found = Tokenizer.load(str(folder), length=16)  # its tokenizer.json will do
    np.testing.assert_array_equal(found(CAPTIONS)[0], tokenizer(CAPTIONS)[0])
    assert not mark.exists()

"""Words by their pieces, for every kind of tokenizer, built here without a network."""

import tokenizers

from tests.data.test_tokenizers import (
    CAPTIONS,
    bert_tokenizer,
    byte_alphabet,
    clip_tokenizer,
    gpt2_tokenizer,
)
from vlp_jax.data.tokenizers import Tokenizer


def words(tokenizer, text) -> list[list[str]]:
    """The pieces of a text, word by word, as word_borders tells."""
    begins, ends = tokenizer.word_borders
    special = {tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id}
    tokens, mask = tokenizer(text)
    found, goes_on = [], False
    for token in tokens[mask].tolist():
        if token in special:
            goes_on = False
            continue
        piece = tokenizer._backend.id_to_token(token)
        if goes_on and not begins[token]:
            found[-1].append(piece)
        else:
            found.append([piece])
        goes_on = not ends[token]
    return found


def check(tokenizer, text, *expected):
    assert tokenizer.word_borders.shape == (2, tokenizer.vocab_size)
    assert [" ".join(pieces) for pieces in words(tokenizer, text)] == list(expected)


def test_our_own():
    tokenizer = Tokenizer.train(CAPTIONS, vocab_size=290, length=32)
    found = words(tokenizer, "a red zoo in 日本")
    assert ["".join(w) for w in found[:4]] == ["Ġa", "Ġred", "Ġzoo", "Ġin"]
    assert len(found) == 5 and len(found[2]) > 1 and len(found[4]) > 3
    assert tokenizer.with_length(9).word_borders.shape == (2, tokenizer.vocab_size)


def test_wordpiece():
    tokenizer = Tokenizer(bert_tokenizer(), length=12)
    check(tokenizer, "a red dogs", "a", "red", "dog ##s")
    check(tokenizer, "dogs reds zebra", "dog ##s", "red ##s", "[UNK]")


def test_clip_by_the_ends_of_words():
    tokenizer = Tokenizer(clip_tokenizer(), length=20)
    check(tokenizer, "a red dogs!", "a</w>", "red</w>", "do g s</w>", "!</w>")
    check(tokenizer, "reds", "re d s</w>")


def test_gpt2():
    """The first word of a text has no space before it."""
    tokenizer = Tokenizer(gpt2_tokenizer(), length=20)
    check(tokenizer, "red at red!", "red", "Ġ a t", "Ġ red !")


def test_roberta():
    from transformers import RobertaTokenizer

    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *byte_alphabet(), "Ġd", "Ġdo"]
    pieces += ["Ġdog"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    merges = [("Ġ", "d"), ("Ġd", "o"), ("Ġdo", "g")]
    tokenizer = Tokenizer(RobertaTokenizer(vocab=vocab, merges=merges), length=20)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.mask_id) == (0, 2, 4)
    check(tokenizer, "a dogs dog", "a", "Ġdog s", "Ġdog")


def unigram(pieces, **parts):
    """A tokenizer of SentencePiece's kind, as tokenizer.json has it."""
    from transformers import PreTrainedTokenizerFast

    scores = [(piece, -float(i)) for i, piece in enumerate(pieces)]
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram(scores, unk_id=1))
    for name, part in parts.items():
        setattr(backend, name, part)
    return Tokenizer(
        PreTrainedTokenizerFast(
            tokenizer_object=backend,
            pad_token=pieces[0],
            unk_token=pieces[1],
            eos_token=pieces[2],
        ),
        length=20,
    )


PIECES = ["<pad>", "<unk>", "</s>", "▁red", "▁dog", "s", "▁"]


def test_sentencepiece():
    before = tokenizers.pre_tokenizers.Metaspace()
    check(unigram(PIECES, pre_tokenizer=before), "dogs red", "▁dog s", "▁red")
    # Llama's and Gemma's put the mark in while they normalise.
    marks = tokenizers.normalizers.Sequence(
        [
            tokenizers.normalizers.Prepend("▁"),
            tokenizers.normalizers.Replace(" ", "▁"),
        ]
    )
    check(unigram(PIECES, normalizer=marks), "red dogs s", "▁red", "▁dog s", "▁ s")


def test_whole_words(tmp_path):
    vocab = {"[unk]": 0, "red": 1, "dog": 7}  # ids with a hole
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(vocab, unk_token="[unk]")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "tokenizer.json"))
    check(Tokenizer.load(str(tmp_path), length=9), "red dog", "red", "dog")


def test_words_that_are_not_marked(tmp_path):
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1}, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.load(str(tmp_path), length=9).word_borders is None

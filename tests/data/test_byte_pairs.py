"""Byte pairs, trained on captions: a function of them, and of nothing else."""

import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.byte_pairs import SMALLEST_VOCABULARY, SPECIAL_TOKENS, train_backend

CAPTIONS = ["a small red three", "a big blue seven", "a small blue three"] * 5


def test_training_is_deterministic_and_iterates_once():
    one, other = train_backend(CAPTIONS, 300), train_backend(iter(CAPTIONS), 300)
    assert one.to_str() == other.to_str()
    assert one.get_vocab_size() <= 300


def test_special_tokens_come_first_and_every_byte_is_known():
    backend = train_backend(CAPTIONS, SMALLEST_VOCABULARY)
    assert backend.get_vocab_size() == SMALLEST_VOCABULARY == 4 + 256
    assert [backend.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3]
    ids = backend.encode("日本 🦦").ids
    assert (ids[0], ids[-1]) == (2, 3) and backend.decode(ids) == " 日本 🦦"


def test_frequent_pairs_are_merged_whatever_their_case():
    backend = train_backend(CAPTIONS, 320)
    assert len(backend.encode("Small THREE").ids) == 2 + 2
    assert backend.encode("Small").ids == backend.encode("small").ids


def test_a_vocabulary_without_room_for_the_bytes():
    with pytest.raises(ConfigError, match="vocab_size=100; expected 260 or more"):
        train_backend(CAPTIONS, 100)

"""Masking: what may be chosen, how often, by words, and what it becomes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax.objectives.masking import choosable, choose, first_pieces, replace

PAD, START, END, MASK_ID = 0, 2, 7, 1  # not all at one end of the vocabulary
SPECIAL = (PAD, MASK_ID, START, END)
VOCABULARY = 20


def texts(rows=4000, length=12, seed=0):
    """(tokens, mask): start, 1 to 10 plain tokens, end, padding."""
    rng = np.random.default_rng(seed)
    plain = np.setdiff1d(np.arange(VOCABULARY), SPECIAL)
    tokens = rng.choice(plain, size=(rows, length)).astype(np.int32)
    counts = rng.integers(1, length - 1, size=(rows, 1))
    positions = np.arange(length)
    tokens[:, 0] = START
    tokens = np.where(positions == counts + 1, END, tokens)
    mask = positions <= counts + 1
    return np.where(mask, tokens, PAD).astype(np.int32), mask


def near(count, of, share):
    """Within 4.5 standard deviations of what is expected."""
    return abs(count - of * share) < 4.5 * np.sqrt(of * share * (1 - share))


@functools.partial(jax.jit, static_argnames="share")
def masked(key, tokens, mask, share=0.15):
    may_be = choosable(tokens, mask, SPECIAL)
    first, second = jax.random.split(key)
    chosen = choose(first, may_be, share)
    return chosen, replace(second, tokens, chosen, MASK_ID, SPECIAL, VOCABULARY)


def test_what_may_be_chosen():
    tokens = jnp.array([[START, 5, 6, MASK_ID, END, PAD], [9, 5, END, PAD, 5, 5]])
    mask = jnp.array([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 0]], bool)
    expected = [[0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]]
    np.testing.assert_array_equal(choosable(tokens, mask, SPECIAL), expected)
    np.testing.assert_array_equal(choosable(tokens, mask, ()), mask)


def test_shares():
    tokens, mask = texts()
    chosen, new = map(np.asarray, masked(jax.random.key(0), tokens, mask))
    plain = mask & ~np.isin(tokens, SPECIAL)
    assert plain.sum() > 20_000
    assert near(chosen.sum(), plain.sum(), 0.15) and not chosen[~plain].any()
    np.testing.assert_array_equal(new[~chosen], tokens[~chosen])
    became_mask = new[chosen] == MASK_ID
    assert near(became_mask.sum(), chosen.sum(), 0.8)
    # One random token in sixteen is the same by chance.
    kept = new[chosen] == tokens[chosen]
    assert near(kept.sum(), chosen.sum(), 0.1 + 0.1 / 16)
    # Every position of a text is chosen as often as every other.
    for position in range(1, 9):
        assert near(chosen[:, position].sum(), plain[:, position].sum(), 0.15)


def test_random_tokens_are_all_plain_ones_alike():
    tokens, mask = texts()
    _, new = masked(jax.random.key(1), tokens, mask, share=1.0)
    tokens, new = (x[mask & ~np.isin(tokens, SPECIAL)] for x in (tokens, new))
    drawn = np.asarray(new)[(new != MASK_ID) & (new != tokens)]
    counts = np.bincount(drawn, minlength=VOCABULARY)
    assert not counts[list(SPECIAL)].any() and len(counts) == VOCABULARY
    plain = np.setdiff1d(np.arange(VOCABULARY), SPECIAL)
    expected = np.array([len(drawn) - np.sum(tokens == p) / 160 for p in plain])
    expected *= len(drawn) / expected.sum()
    chi_square = ((counts[plain] - expected) ** 2 / expected).sum()
    assert chi_square < 37.7  # p = 0.001 at 15 degrees of freedom


def test_a_share_of_none_and_all():
    tokens, mask = texts(rows=50)
    chosen, new = masked(jax.random.key(0), tokens, mask, share=0.0)
    assert not np.asarray(chosen).any()
    np.testing.assert_array_equal(new, tokens)
    chosen, _ = masked(jax.random.key(0), tokens, mask, share=1.0)
    np.testing.assert_array_equal(chosen, mask & ~np.isin(tokens, SPECIAL))


def test_a_key_is_a_draw():
    tokens, mask = texts(rows=50)
    first, again = (masked(jax.random.key(3), tokens, mask) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    other = masked(jax.random.key(4), tokens, mask)
    assert (np.asarray(first[0]) != np.asarray(other[0])).any()


# ---- whole words


def borders(begin=(), end=()):
    found = np.zeros((2, VOCABULARY), bool)
    found[0, list(begin)], found[1, list(end)] = True, True
    return jnp.asarray(found)


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ([10], [], [1, 1, 3, 3]),  # as Ġ and ▁ mark it, or a lack of ##
        ([], [9], [1, 1, 3, 3]),  # as </w> does
        ([10], [10], [1, 1, 3, 4]),
        (range(20), [], [1, 2, 3, 4]),
        ([], [], [1, 1, 1, 1]),
    ],
)
def test_words_by_their_borders(begin, end, expected):
    tokens = jnp.array([[START, 8, 9, 10, 11, END, PAD, PAD]])
    plain = jnp.array([[0, 1, 1, 1, 1, 0, 0, 0]], bool)
    found = first_pieces(tokens, plain, borders(begin, end))
    np.testing.assert_array_equal(found[:, 1:5], [expected])


def test_pieces_of_a_word_are_chosen_together_and_replaced_one_by_one():
    tokens, mask = map(jnp.asarray, texts())
    marks = borders(begin=range(10, VOCABULARY))
    plain = choosable(tokens, mask, SPECIAL)
    first = first_pieces(tokens, plain, marks)
    chosen = choose(jax.random.key(0), plain, 0.15, first)
    new = replace(jax.random.key(1), tokens, chosen, MASK_ID, SPECIAL, VOCABULARY)
    plain, chosen, first = map(np.asarray, (plain, chosen, first))
    np.testing.assert_array_equal(
        chosen, np.take_along_axis(chosen, first, axis=1) & plain
    )
    starts = plain & (first == np.arange(12))
    assert starts.sum() < 0.8 * plain.sum()  # many words have several pieces
    assert near(chosen[starts].sum(), starts.sum(), 0.15)
    became_mask = np.asarray(new) == MASK_ID
    pairs = chosen[:, 1:] & chosen[:, :-1] & (first[:, 1:] == first[:, :-1])
    mixed = pairs & (became_mask[:, 1:] != became_mask[:, :-1])
    assert near(mixed.sum(), pairs.sum(), 2 * 0.8 * 0.2)


def test_a_text_without_a_start_token():
    tokens = jnp.array([[8, 9, 10, 9]])
    plain = jnp.ones((1, 4), bool)
    found = first_pieces(tokens, plain, borders(begin=[10]))
    np.testing.assert_array_equal(found, [[0, 0, 2, 2]])

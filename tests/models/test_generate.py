"""Greedy and beam search find the ids that transformers' `generate` finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import random_decoder
from tests.models.random_decoder import END, PADDING, START
from vlp_jax.models.decoding import Decoding, warped
from vlp_jax.models.generate import generate, repeat_rows

ROWS, LENGTH = 96, 9
CONTEXT = random_decoder.contexts(ROWS)
BARE = np.full((ROWS, 1), START, np.int32)
PROMPT = np.random.default_rng(2).integers(4, 23, (ROWS, 3)).astype(np.int32)


def decoding(**settings):
    return Decoding(END, PADDING, **{"length": LENGTH, **settings})


def padded(found):
    """Theirs end with the longest text."""
    return np.pad(
        found, ((0, 0), (0, LENGTH - found.shape[1])), constant_values=PADDING
    )


def compare(start, ours, **theirs):
    found = random_decoder.ours(CONTEXT, start, decoding(**ours))
    expected = random_decoder.theirs(CONTEXT, start, max_new_tokens=LENGTH, **theirs)
    np.testing.assert_array_equal(found, padded(expected))
    return found


@pytest.mark.parametrize("start", [BARE, PROMPT], ids=["bare", "prompt"])
@pytest.mark.parametrize(("least", "penalty"), [(0, 1.0), (6, 1.0), (0, 1.3)])
def test_greedy(start, least, penalty):
    settings = dict(repetition_penalty=penalty)
    found = compare(
        start,
        dict(method="greedy", min_length=least, **settings),
        do_sample=False,
        min_new_tokens=least,
        **settings,
    )
    ends = (found == END).argmax(axis=1)
    assert len(np.unique(ends)) > 3 and (found != END).all(axis=1).any()


# beams, length penalty, early stopping, least new tokens, repetition penalty
SEARCHES = [
    (1, 1.0, False, 0, 1.0),
    (2, 1.0, False, 0, 1.0),
    (2, 0.0, True, 0, 1.1),
    (3, 1.0, False, 0, 1.0),
    (3, 1.0, True, 0, 1.0),
    (3, 2.0, False, 6, 1.0),
    (3, -1.0, False, 0, 1.2),
    (4, 0.6, True, 5, 1.0),
    (4, 0.0, False, 0, 1.0),
    (5, 1.0, False, 0, 1.1),
    (5, 2.0, True, 0, 1.0),
    (5, -0.5, True, 4, 1.3),
]


@pytest.mark.parametrize(
    ("beams", "length_penalty", "early", "least", "penalty"), SEARCHES
)
def test_beam_search(beams, length_penalty, early, least, penalty):
    settings = dict(
        length_penalty=length_penalty,
        early_stopping=early,
        repetition_penalty=penalty,
    )
    if beams == 1:
        settings.pop("early_stopping")
    found = compare(
        PROMPT if beams % 2 else BARE,
        dict(method="beam", beams=beams, min_length=least, **settings),
        do_sample=False,
        num_beams=beams,
        min_new_tokens=least,
        **settings,
    )
    assert len(np.unique((found == END).argmax(axis=1))) > 3


def test_settings_of_the_search_matter():
    """Or the comparisons above could not tell them apart."""
    changes = (
        dict(),
        dict(beams=2),
        dict(length_penalty=0.0),
        dict(early_stopping=True),
        dict(min_length=5),
        dict(repetition_penalty=1.3),
    )
    found = {
        random_decoder.ours(CONTEXT, BARE, decoding(**change)).tobytes()
        for change in changes
    }
    assert len(found) == len(changes)


def test_the_best_of_few_texts_by_brute_force():
    """Enough beams see all texts of two tokens: the best by log p / length wins."""
    start, rows = BARE[:8], 8
    settings = decoding(length=2, beams=23, length_penalty=1.0)
    found = random_decoder.ours(CONTEXT[:rows], start, settings)
    memory = random_decoder.first_memory(CONTEXT[:rows])
    first, memory = random_decoder.step(memory, start, jnp.int32(0))
    first = jax.nn.log_softmax(first)
    for row in range(rows):
        texts = {(END, PADDING): float(first[row, END])}
        for token in set(range(23)) - {END}:
            second, _ = random_decoder.step(
                memory, np.full((rows, 1), token, np.int32), jnp.int32(1)
            )
            second = jax.nn.log_softmax(second)
            for last in range(23):
                score = float(first[row, token] + second[row, last]) / 2
                texts[token, last] = score
        assert max(texts, key=texts.get) == tuple(found[row])


def test_one_program_for_all_rows_of_a_shape():
    traced = []

    def step(memory, tokens, position):
        traced.append(tokens.shape)
        return random_decoder.step(memory, tokens, position)

    @jax.jit
    def run(context, start):
        memory = random_decoder.first_memory(context)
        return generate(step, memory, start, decoding(beams=2))

    first = run(CONTEXT[:8], BARE[:8])
    count = len(traced)
    second = run(CONTEXT[8:16], PROMPT[8:16, :1])
    assert (first != second).any() and len(traced) == count
    assert run._cache_size() == 1


def test_the_loop_ends_with_the_last_text():
    """Rows that have ended wait, and nobody waits for `length`."""
    steps = []

    def step(memory, tokens, position):
        jax.debug.callback(lambda at: steps.append(int(at)), position)
        logits = jnp.zeros((len(tokens), 8)).at[:, 5].set(1)
        return logits.at[:, END].set(jnp.where(position >= memory, 2, 0)), memory

    start = jnp.full((3, 1), START)
    settings = decoding(method="greedy", length=50)
    found = generate(step, jnp.array([0, 2, 4]), start, settings)
    jax.effects_barrier()
    lengths = (found == END).argmax(axis=1)
    np.testing.assert_array_equal(lengths, [0, 2, 4])
    assert sorted(steps) == [0, 1, 2, 3, 4]


def test_repeated_rows_stand_together():
    found = repeat_rows({"a": jnp.arange(6).reshape(3, 2)}, 2)["a"]
    np.testing.assert_array_equal(found[:, 0], [0, 0, 2, 2, 4, 4])


def test_samples_follow_the_filtered_distribution():
    """Chi-square of 6000 first tokens; each row draws by its own key."""
    rows = 6000
    context = np.repeat(CONTEXT[:1], rows, axis=0)
    start = np.repeat(BARE[:1], rows, axis=0)
    settings = decoding(method="sample", length=1, top_k=6, top_p=0.95, temperature=1.5)
    keys = jax.vmap(jax.random.key)(jnp.arange(rows))
    found = random_decoder.ours(context, start, settings, keys)[:, 0]
    memory = random_decoder.first_memory(context[:1])
    logits = random_decoder.step(memory, start[:1], jnp.int32(0))[0]
    expected = rows * np.asarray(jax.nn.softmax(warped(logits, settings)))[0]
    counts = np.bincount(found, minlength=len(expected))
    assert 2 < (expected > 0).sum() < 7 and (counts[expected == 0] == 0).all()
    there = expected > 0
    chi = ((counts - expected)[there] ** 2 / expected[there]).sum()
    assert chi < 20.5  # of at most 5 degrees of freedom: p = 0.001


def test_a_row_draws_the_same_in_another_batch():
    settings = decoding(method="sample", length=LENGTH)
    keys = jax.vmap(jax.random.key)(jnp.arange(ROWS))
    found = random_decoder.ours(CONTEXT, BARE, settings, keys)
    part = random_decoder.ours(CONTEXT[5:9], BARE[5:9], settings, keys[5:9])
    np.testing.assert_array_equal(part, found[5:9])
    other = random_decoder.ours(CONTEXT, BARE, settings, keys[::-1])
    assert (other != found).any(axis=1).mean() > 0.8

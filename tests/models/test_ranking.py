"""The ranking of a list equals the likelihood of each of its texts, read by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import random_decoder
from tests.models.random_decoder import END, PADDING, START
from vlp_jax.models.ranking import rank_candidates

ROWS, CANDIDATES = 7, 21
CONTEXT = random_decoder.contexts(ROWS)


def candidates():
    """Start, one to four tokens and the end; many share their first token."""
    made = np.random.default_rng(3)
    tokens = np.full((CANDIDATES, 6), PADDING, np.int32)
    mask = np.zeros(tokens.shape, bool)
    for row in range(CANDIDATES):
        length = 1 + row % 4
        words = made.integers(4, 23, length)
        words[0] = 4 + row % 9
        tokens[row, : length + 2] = START, *words, END
        mask[row, : length + 2] = True
    return tokens, mask


TOKENS, MASK = candidates()


def log_p(row, tokens):
    """Summed by hand."""
    memory = random_decoder.first_memory(CONTEXT[row : row + 1])
    total = 0.0
    for position, (token, following) in enumerate(
        zip(tokens, tokens[1:], strict=False)
    ):
        logits, memory = random_decoder.step(
            memory, jnp.full((1, 1), token), jnp.int32(position)
        )
        total += float(jax.nn.log_softmax(logits)[0, following])
    return total


@pytest.fixture(scope="module")
def brute_force():
    return np.array(
        [
            [log_p(row, t[m]) for t, m in zip(TOKENS, MASK, strict=True)]
            for row in range(ROWS)
        ]
    )


def ranked(k):
    memory = random_decoder.first_memory(CONTEXT)
    run = jax.jit(lambda *given: rank_candidates(random_decoder.step, *given, k))
    return map(np.asarray, run(memory, jnp.asarray(TOKENS), jnp.asarray(MASK)))


def test_all_of_them(brute_force):
    index, scores = ranked(1000)
    assert scores.shape == (ROWS, CANDIDATES)
    np.testing.assert_array_equal(index, np.argsort(-brute_force, axis=1))
    np.testing.assert_allclose(scores, -np.sort(-brute_force, axis=1), rtol=1e-5)


def test_only_those_with_the_likeliest_first_tokens(brute_force):
    index, scores = ranked(5)
    first, _ = random_decoder.step(
        random_decoder.first_memory(CONTEXT),
        jnp.full((ROWS, 1), START),
        jnp.int32(0),
    )
    left = np.argsort(-np.asarray(first)[:, TOKENS[:, 1]], axis=1, kind="stable")[:, :5]
    for row in range(ROWS):
        best = sorted(left[row], key=lambda n: -brute_force[row, n])
        np.testing.assert_array_equal(index[row], best)
    expected = np.take_along_axis(brute_force, index, axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert (index[:, 0] != brute_force.argmax(axis=1)).any()  # it is a shortcut

"""Decoders: nothing comes back from what follows, step by step or at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax.models.decoder import BertDecoder, Gpt2Decoder

TOKENS = jax.random.randint(jax.random.key(0), (2, 6), 0, 20)
CONTEXT = jax.random.normal(jax.random.key(1), (2, 5, 12))
SEEN = jnp.array([[True] * 5, [True] * 2 + [False] * 3])


@pytest.fixture(scope="module", params=[BertDecoder, Gpt2Decoder])
def decoder(request):
    model = request.param(width=8, depth=2, heads=2, vocab_size=20, length=6)
    variables = model.init(jax.random.key(2), TOKENS, CONTEXT, SEEN)
    return (
        jax.jit(model.apply),
        functools.partial(model.apply, mutable="cache"),
        variables,
    )


def test_a_token_sees_itself_those_before_it_and_the_context(decoder):
    run, _, variables = decoder
    found = run(variables, TOKENS, CONTEXT, SEEN)
    assert found.shape == (2, 6, 20)
    changed = (found != run(variables, TOKENS.at[:, 3].add(1), CONTEXT, SEEN)).any(-1)
    np.testing.assert_array_equal(changed, [[False] * 3 + [True] * 3] * 2)
    other = run(variables, TOKENS, CONTEXT.at[:, 3].add(1), SEEN)
    assert (other[0] != found[0]).any(-1).all()
    np.testing.assert_array_equal(other[1], found[1])


@pytest.mark.parametrize("pieces", [(1,) * 6, (2, 1, 3)])
def test_pieces_of_a_text_give_what_the_whole_text_does(decoder, pieces):
    run, step, variables = decoder
    expected = run(variables, TOKENS, CONTEXT, SEEN)
    cache, at, found = {}, 0, []
    for size in pieces:
        piece = TOKENS[:, at : at + size]
        given = piece, CONTEXT, SEEN, jnp.int32(at)
        logits, cache = jax.jit(step)({**variables, **cache}, *given)
        found.append(logits)
        at += size
    np.testing.assert_allclose(jnp.concatenate(found, 1), expected, atol=1e-5)
    for leaf in jax.tree.leaves(cache):
        assert leaf.shape == (2, 6, 2, 4)  # rows first, so that beams can be moved

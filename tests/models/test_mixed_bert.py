"""The tower that reads in two ways and writes is a BERT, and a decoder's trunk."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import blip_pair
from tests.models.comparison import error
from vlp_jax.core import trees
from vlp_jax.models.bert import Bert
from vlp_jax.models.decoder import BertDecoder
from vlp_jax.models.heads import TokenHead
from vlp_jax.models.mixed_bert import WRITING, MixedBert

ROWS, PATCHES, WIDTH = 4, 5, blip_pair.TEXT["width"]


def context():
    rng = np.random.default_rng(4)
    return rng.normal(size=(ROWS, PATCHES, WIDTH)).astype(np.float32)


def drawn(shapes):
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), shapes
    )


@functools.cache
def params():
    """Random, of all that it can do."""
    tower, (tokens, _) = blip_pair.tower(MixedBert, pool="mean"), blip_pair.texts(ROWS)

    def everything(tower, tokens, seen):
        given = tokens, None, seen
        return tower(*given), tower(*given, writes=True)

    init = functools.partial(tower.init, method=everything)
    return drawn(jax.eval_shape(init, jax.random.key(0), tokens, context()))["params"]


def encode(*given, scan=False, **how):
    tower = blip_pair.tower(MixedBert, scan=scan, pool="mean")
    run = jax.jit(lambda p, *x: tower.apply({"params": p}, *x, **how))
    return run(params(), *given)


def of_decoder():
    """Its parameters for writing, as if there were no others."""
    found = {}
    for path, x in trees.flatten(params()).items():
        if WRITING in path:
            found[path.replace(WRITING, "")] = x
        else:
            found.setdefault(path, x)
    return trees.unflatten(found)


@pytest.mark.parametrize("pooled", [False, True])
def test_without_a_context_it_is_a_bert(pooled):
    """Without segments; the parameters of cross-attention do not matter."""
    plain = blip_pair.tower(Bert, pool="mean")
    given = blip_pair.texts(ROWS)
    run = jax.jit(lambda p, *x: plain.apply({"params": p}, *x, pooled=pooled))
    assert error(encode(*given, pooled=pooled), run(params(), *given)) <= 1e-6


@pytest.mark.parametrize("scan", [False, True])
def test_it_writes_as_a_decoder_does(scan):
    """And reads beside a picture what a decoder would not see: the words to come."""
    tokens, _ = blip_pair.texts(ROWS)
    head = TokenHead()
    embedding = params()["token_embedding"]
    weights = drawn(jax.eval_shape(head.init, jax.random.key(0), context(), embedding))[
        "params"
    ]
    given = tokens, None, context()
    states = encode(*given, scan=scan, writes=True, pooled=False)
    found = head.apply({"params": weights}, states, embedding)
    decoder = blip_pair.tower(BertDecoder)
    expected = jax.jit(decoder.apply)(
        {"params": of_decoder() | {"head": weights}}, tokens, context()
    )
    assert error(found, expected) <= 1e-5
    changed = np.where(np.arange(tokens.shape[1]) < 5, tokens, 7)
    for writes in (True, False):
        one, other = (
            encode(x, *given[1:], scan=scan, writes=writes, pooled=False)[:, :5]
            for x in (tokens, changed)
        )
        assert (error(one, other) <= 1e-5) == writes

"""A small tree of parameters: two transformers of one block, and words."""

import jax
import numpy as np

from vlp_jax.core import trees

KEY = jax.random.key(0)


def init(key):
    """Parameters with a kernel, its bias, words, and two transformers."""
    draw = iter(jax.random.split(key, 9))

    def array(*shape):
        return jax.random.normal(next(draw), shape)

    def encoder():
        return {"block_0": {"query": {"kernel": array(4, 6), "bias": array(6)}}}

    image = {"encoder": encoder(), "norm": {"scale": array(4)}}
    text = {"encoder": encoder(), "token_embedding": array(7, 4)}
    return {"params": {"image": image, "text": text}, "batch_stats": {"mean": array(3)}}


def flat(variables):
    return trees.flatten(dict(variables))


def check_same(one, other):
    one, other = flat(one), flat(other)
    assert one.keys() == other.keys()
    for path in one:
        np.testing.assert_array_equal(one[path], other[path])

"""Heads: what they read, in float32. Their values are tested where models use them."""

import jax
import jax.numpy as jnp
import numpy as np

from vlp_jax.models.heads import ClassHead, TokenHead

X = jax.random.normal(jax.random.key(1), (2, 3, 8))


def test_tokens_are_scored_by_their_own_embedding():
    embedding = jax.random.normal(jax.random.key(2), (11, 8))
    head = TokenHead()
    variables = head.init(jax.random.key(0), X, embedding)
    assert variables["params"].keys() == {"transform", "norm", "bias"}
    scores = head.apply(variables, X, embedding)
    other = head.apply(variables, X, embedding.at[4].mul(2))
    np.testing.assert_allclose(other[..., 4], 2 * scores[..., 4], rtol=1e-5)
    same = np.delete(np.arange(11), 4)
    np.testing.assert_allclose(other[..., same], scores[..., same], rtol=1e-5)
    half = TokenHead(dtype="bfloat16").apply(variables, X, embedding)
    assert half.dtype == jnp.float32 and half.shape == (2, 3, 11)
    np.testing.assert_allclose(half, scores, atol=0.1)


def test_classes_are_scored_with_a_wider_layer_between():
    head = ClassHead(5, dtype="bfloat16")
    variables = head.init(jax.random.key(0), X[:, 0])
    shapes = jax.tree.map(jnp.shape, variables["params"])
    assert shapes["in"]["kernel"] == (8, 16) and shapes["out"]["kernel"] == (16, 5)
    assert head.apply(variables, X[:, 0]).dtype == jnp.float32

"""Heads: what they read, in float32; BERT's scores, and those of the definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.clip_pair import with_weights
from tests.models.comparison import error
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.heads import ClassHead, TokenHead, judge_pairs

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


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_words_are_scored_as_in_bert(activation):
    import torch
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertLMPredictionHead

    act = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}[activation]
    config = BertConfig(hidden_size=8, vocab_size=20, hidden_act=act)
    theirs = with_weights(BertLMPredictionHead(config).float())
    weights = {k: jnp.array(p.detach().numpy()) for k, p in theirs.named_parameters()}
    ours = {
        "transform": {
            "kernel": weights["transform.dense.weight"].T,
            "bias": weights["transform.dense.bias"],
        },
        "norm": {
            "scale": weights["transform.LayerNorm.weight"],
            "bias": weights["transform.LayerNorm.bias"],
        },
        "bias": weights["decoder.bias"],
    }
    head, table = TokenHead(activation), weights["decoder.weight"]
    found = head.apply({"params": ours}, X, table)
    with torch.no_grad():
        expected = theirs(torch.tensor(np.array(X))).numpy()
    assert error(found, expected) <= 1e-5


def test_answers_are_scored_by_the_definition():
    rng = np.random.default_rng(1)
    pooled = jnp.asarray(rng.normal(size=(4, 8)), jnp.float32)
    head = ClassHead(3)
    shapes = jax.eval_shape(head.init, jax.random.key(0), pooled)["params"]
    p = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)
    found = head.apply({"params": p}, pooled)
    x = np.asarray(pooled, np.float64) @ p["in"]["kernel"] + p["in"]["bias"]
    assert x.shape == (4, 16)
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    x = x * p["norm"]["scale"] + p["norm"]["bias"]
    x = np.asarray(jax.nn.gelu(x, approximate=False))
    expected = x @ p["out"]["kernel"] + p["out"]["bias"]
    assert found.shape == (4, 3) and error(found, expected) <= 1e-5


def test_an_activation_that_is_none():
    with pytest.raises(ConfigError, match="unknown activation 'relu'"):
        TokenHead("relu").init(jax.random.key(0), X, X[0])


def test_each_row_is_judged_with_three_pairs():
    """The pair, its picture with the other text, its text with the other picture."""

    def judge(images, texts, masks):
        return jnp.stack([images[:, 0, 0], (texts * masks)[:, 0]], axis=1)

    def arrays(rows, first, word, seen):
        return rows + first, jnp.full((2, 1), word), jnp.full((2, 1), seen)

    rows = jnp.array([[[1.0]], [[2.0]]])
    own, negative = arrays(rows, 10, 3, 1), arrays(rows, 20, 4, 5)
    found = judge_pairs(judge, own, negative)
    expected = [[[n + 10, 3], [n + 10, 20], [n + 20, 3]] for n in (1, 2)]
    np.testing.assert_array_equal(found, expected)

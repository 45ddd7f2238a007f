"""Layers: statistics in float32, attention by hand, and the limits of cuDNN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.builders import SHAPE
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.layers import (
    SHOWN,
    Attention,
    Dense,
    LayerNorm,
    check_cudnn,
    even_attention,
)
from vlp_jax.models.siglip import SiglipText
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT


def test_layer_norm_keeps_its_statistics_in_float32():
    """A large mean: statistics in bfloat16 would lose the deviations from it."""
    x = 256 + 2 * jax.random.normal(jax.random.key(0), (4, 64))
    x = x.astype(jnp.bfloat16)
    norm = LayerNorm(dtype="bfloat16")
    found = norm.apply(norm.init(jax.random.key(0), x), x)
    exact = np.asarray(x, np.float64)
    exact = (exact - exact.mean(1, keepdims=True)) / exact.std(1, keepdims=True)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(found, np.float64), exact, atol=0.02)


def test_attention_over_a_context():
    """One query over other tokens equals softmax(q k / sqrt(d)) v by hand."""
    x, context = (
        jax.random.normal(jax.random.key(n), (2, length, 8))
        for n, length in ((0, 1), (1, 5))
    )
    attention = Attention(heads=1, init_std=0.5, out_std=0.5)
    params = attention.init(jax.random.key(2), x, context=context)
    found = jax.jit(attention.apply)(params, x, context=context)
    weights = {k: v["kernel"] for k, v in params["params"].items()}
    scores = (x @ weights["query"]) @ (context @ weights["key"]).swapaxes(1, 2)
    mixed = jax.nn.softmax(scores / 8**0.5) @ (context @ weights["value"])
    np.testing.assert_allclose(found, mixed @ weights["out"], atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_weights_that_are_shown(masked):
    """They are what the attention mixes by, and a change of them changes the mixture.

    By hand: a change of a weight adds as much of the value it belongs to.
    """
    x, context = jax.random.normal(jax.random.key(0), (2, 2, 4, 8))
    mask = jnp.array([[True] * 4, [True, False, True, False]]) if masked else None
    attention = Attention(heads=2, init_std=0.5, out_std=0.5)
    params = attention.init(jax.random.key(2), x, mask, context)
    assert set(params) == {"params"}
    expected = jax.jit(attention.apply)(params, x, mask, context)
    change = jnp.zeros((2, 2, 4, 4)).at[1, 1, 3, 2].set(0.5)

    @jax.jit
    def shown(change):
        given = {**params, SHOWN: {"weights": change}}
        return attention.apply(given, x, mask, context, mutable=[SHOWN])

    found, seen = shown(0 * change)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    weights = seen[SHOWN]["weights"]
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-6)
    if masked:
        assert (weights[1, ..., 1::2] == 0).all() and (weights[0] > 0).all()
    kernels = {k: v["kernel"] for k, v in params["params"].items()}
    value = (context[1, 2] @ kernels["value"])[4:]
    more = np.zeros(expected.shape)
    more[1, 3] = 0.5 * value @ kernels["out"][4:]
    np.testing.assert_allclose(shown(change)[0] - found, more, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "dtype", "said"),
    [
        (64, "float32", "'bfloat16', and dtype is 'float32'"),
        (12, "bfloat16", "8 divides.* theirs is 12"),
        (512, "bfloat16", "at most 256, and theirs is 512"),
        (72, "bfloat16", None),
    ],
)
def test_what_cudnn_cannot_do(monkeypatch, width, dtype, said):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    query = jnp.zeros((2, 8, 4, width), dtype)
    if said is None:
        check_cudnn(query)
    else:
        with pytest.raises(ConfigError, match=f"{said}.*; set attention='xla'"):
            check_cudnn(query)


@pytest.mark.parametrize("length", [6, 7])
@pytest.mark.parametrize(("masked", "causal"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_even_lengths_change_nothing(length, masked, causal):
    """By XLA, which takes any length: values and gradients with and without padding."""
    arrays = jax.random.normal(jax.random.key(0), (3, 2, length, 2, 4))
    mask = jnp.arange(length) < jnp.array([length, 3])[:, None] if masked else None

    def plain(query, key, value):
        rows = mask if mask is None else mask[:, None, None]
        return jax.nn.dot_product_attention(
            query, key, value, mask=rows, is_causal=bool(causal)
        )

    def even(query, key, value):
        return even_attention(query, key, value, mask, bool(causal), "xla")

    def both(function):
        def loss(arrays):
            out = function(*arrays)
            return (out * jnp.arange(out.size).reshape(out.shape)).sum(), out

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(arrays)

    for found, expected in zip(
        jax.tree.leaves(both(even)), jax.tree.leaves(both(plain)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        ViT(image_size=16, patch_size=4, **SHAPE, attention="cudnn", dtype="bfloat16"),
        TextTransformer(
            vocab_size=20,
            length=8,
            eos_id=2,
            **SHAPE,
            attention="cudnn",
            dtype="bfloat16",
        ),
        SiglipText(vocab_size=20, length=8, eos_id=1, **SHAPE, attention="cudnn"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_cudnn_away_from_a_gpu(model):
    given = (
        jnp.zeros((1, 16, 16, 3)) if isinstance(model, ViT) else jnp.zeros((1, 8), int)
    )
    with pytest.raises(ConfigError, match="needs a GPU, and this runs on cpu; set"):
        jax.eval_shape(model.init, jax.random.key(0), given)


def test_an_unknown_dtype_is_explained():
    with pytest.raises(ConfigError, match="unknown dtype 'bf16'; known: bfloat16"):
        Dense(4, dtype="bf16").init(jax.random.key(0), jnp.ones((2, 3)))

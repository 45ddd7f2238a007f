"""The trunk: scanned and rematerialised it is the same function of the same tree."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import clip_pair
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.transformer import Transformer

TRUNK = dict(depth=3, heads=2, hidden=32, activation="gelu")
BOTH_ORDERS = pytest.mark.parametrize("post_norm", [False, True])
VARIANTS = [
    dict(remat="dots"),
    dict(remat="full"),
    dict(scan=True),
    pytest.param(dict(scan=True, remat="dots"), marks=pytest.mark.long),
    dict(scan=True, remat="full"),
]


def value_and_gradients(model, params, x, mask):
    def loss(params, x):
        y = model.apply({"params": params}, x, mask)
        return (y * weights).sum(), y

    weights = jax.random.normal(jax.random.key(9), x.shape)
    differentiate = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    return trees.flatten(jax.jit(differentiate)(params, x))


@functools.cache
def plain(post_norm=False):
    x = jax.random.normal(jax.random.key(1), (4, 5, 16))
    mask = jnp.arange(5) < jnp.array([5, 1, 3, 4])[:, None]
    model = Transformer(**TRUNK, post_norm=post_norm)
    params = jax.jit(model.init)(jax.random.key(0), x, mask)["params"]
    return params, x, mask, value_and_gradients(model, params, x, mask)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
@BOTH_ORDERS
def test_scan_and_remat_change_neither_values_nor_gradients(settings, post_norm):
    params, x, mask, expected = plain(post_norm)
    model = Transformer(**TRUNK, **settings, post_norm=post_norm)
    found = value_and_gradients(model, params, x, mask)
    assert found.keys() == expected.keys()
    largest = max(np.abs(value).max() for value in expected.values())
    for path, value in expected.items():
        # Adding to every key alike has no effect: that gradient is zero but for noise.
        size = largest if path.endswith("key/bias") else np.abs(value).max()
        assert np.abs(found[path] - value).max() <= 1e-5 * size, path


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_scan_and_remat_keep_every_parameter_path(settings):
    arrays = clip_pair.pictures(), *clip_pair.captions(25)

    def shapes(**settings):
        model = clip_pair.our_model("gelu", 25, **settings)
        return jax.eval_shape(model.init, jax.random.key(0), *arrays)

    trees.check_same(shapes(), shapes(**settings), str(settings))


def test_scanned_layers_start_as_unrolled_ones():
    params, x, mask, _ = plain()
    scanned = Transformer(**TRUNK, scan=True)
    found = jax.jit(scanned.init)(jax.random.key(0), x, mask)["params"]
    jax.tree.map(np.testing.assert_array_equal, found, params)


def test_a_scanned_trunk_compiles_one_layer():
    """Less program text; the unrolled trunk grows with its depth."""

    def length(scan, depth):
        model = Transformer(depth=depth, heads=2, hidden=32, scan=scan)
        x = jax.ShapeDtypeStruct((4, 5, 16), "float32")
        params = jax.eval_shape(model.init, jax.random.key(0), x)
        return jax.jit(model.apply).lower(params, x).as_text().count("dot_general")

    assert length(True, 2) == length(True, 6)
    assert length(False, 6) == 3 * length(False, 2)


def test_unknown_remat_policy():
    with pytest.raises(ConfigError, match="did you mean 'dots'"):
        Transformer(**TRUNK, remat="dot").init(jax.random.key(0), plain()[1])


def norm(x):
    return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)


def test_a_block_that_normalises_last_ends_normalised():
    """And one that normalises first does not."""
    for post_norm in (False, True):
        model = Transformer(**TRUNK, post_norm=post_norm)
        params, x, mask, _ = plain(post_norm)
        found = jax.jit(model.apply)({"params": params}, x, mask)
        assert np.allclose(found, norm(found), atol=1e-4) == post_norm


DROPPING = [{}, dict(scan=True), dict(remat="full"), dict(scan=True, remat="full")]


@pytest.mark.parametrize("settings", DROPPING, ids=str)
def test_training_drops_numbers_and_evaluation_does_not(settings):
    params, x, mask, _ = plain()
    model = Transformer(**TRUNK, **settings, dropout=0.5)
    apply = jax.jit(lambda **rngs: model.apply({"params": params}, x, mask, rngs=rngs))
    expected = jax.jit(Transformer(**TRUNK).apply)({"params": params}, x, mask)
    np.testing.assert_allclose(apply(), expected, atol=1e-6)
    first, again = (apply(dropout=jax.random.key(0)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - apply(dropout=jax.random.key(1))).max() > 0.1


@pytest.mark.parametrize("scan", [False, True])
def test_every_branch_of_every_layer_drops_others(scan):
    """With constant branches the output counts the branches that kept a number."""
    params = jax.tree.map(jnp.zeros_like, plain()[0])
    for block in params.values():
        for branch in (block["attention"], block["mlp"]):
            branch["out"]["bias"] = jnp.ones(16)
    x, model = jnp.zeros((64, 5, 16)), Transformer(**TRUNK, scan=scan, dropout=0.25)
    found = model.apply({"params": params}, x, rngs={"dropout": jax.random.key(0)})
    kept = np.asarray(found) * 0.75
    np.testing.assert_allclose(kept, kept.round(), atol=1e-5)
    counts = np.bincount(kept.round().astype(int).ravel(), minlength=7)
    binomial = np.array([math.comb(6, k) * 0.75**k * 0.25 ** (6 - k) for k in range(7)])
    expected = binomial * found.size
    assert ((counts - expected) ** 2 / expected).sum() < 22.5  # 6 degrees, p = 0.001


def test_dropout_is_a_share():
    with pytest.raises(ConfigError, match="dropout is 1.5; expected 0 to 1"):
        Transformer(**TRUNK, dropout=1.5).init(jax.random.key(0), plain()[1])

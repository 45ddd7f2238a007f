"""The trunk: scanned and rematerialised it is the same function of the same tree."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import clip_pair
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.transformer import Transformer

TRUNK = dict(depth=3, heads=2, hidden=32, activation="gelu")
VARIANTS = [
    dict(remat="dots"),
    dict(remat="full"),
    dict(scan=True),
    dict(scan=True, remat="dots"),
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
def plain():
    x = jax.random.normal(jax.random.key(1), (4, 5, 16))
    mask = jnp.arange(5) < jnp.array([5, 1, 3, 4])[:, None]
    model = Transformer(**TRUNK)
    params = jax.jit(model.init)(jax.random.key(0), x, mask)["params"]
    return params, x, mask, value_and_gradients(model, params, x, mask)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_scan_and_remat_change_neither_values_nor_gradients(settings):
    params, x, mask, expected = plain()
    found = value_and_gradients(Transformer(**TRUNK, **settings), params, x, mask)
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

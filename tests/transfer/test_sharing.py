"""One transformer for two towers: one set of parameters, with the gradients of both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.transfer.two_towers import KEY, init
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.transfer.adapters import Adapters
from vlp_jax.transfer.sharing import SharedEncoder


def test_one_transformer_for_both():
    adapters = Adapters((SharedEncoder(),))
    variables = adapters.begun(adapters.extended(init))(KEY)
    assert "encoder" not in variables["params"]["text"]
    assert "adapters" not in variables["params"]
    merged = adapters.merged(variables)["params"]
    assert merged["text"]["encoder"] is merged["image"]["encoder"]
    assert merged["text"].keys() == {"encoder", "token_embedding"}

    def gradient(params):
        both = adapters.merged({"params": params})["params"]
        return sum((x**2).sum() for x in jax.tree.leaves(both)) / 2

    found = trees.flatten(jax.grad(gradient)(variables["params"]))
    path = "image/encoder/block_0/query/kernel"
    kernel = trees.flatten(variables["params"])[path]
    np.testing.assert_allclose(found[path], 2 * kernel, rtol=1e-6)


def test_towers_that_cannot_share():
    def wider(key):
        variables = init(key)
        variables["params"]["text"]["encoder"]["block_0"]["query"]["bias"] = jnp.ones(3)
        return variables

    def none(key):
        variables = init(key)
        del variables["params"]["image"]["encoder"]
        return variables

    share = Adapters((SharedEncoder(),)).extended
    with pytest.raises(ConfigError, match="wrong shape.*set model.text.width"):
        share(wider)(KEY)
    with pytest.raises(ConfigError, match="model.image has none"):
        share(none)(KEY)

"""Rates that fall towards the input, by hand and on the paths of real towers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.recipes import tiny
from vlp_jax import build
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.training.optimizer import adamw
from vlp_jax.transfer.layer_decay import rate_factors

PATHS = (
    "image/patch_embedding/kernel",
    "image/class_token",
    "image/encoder/block_0/mlp/in/kernel",
    "image/encoder/block_1/mlp/in/kernel",
    "image/norm_post/scale",
    "text/token_embedding",
    "text/encoder/block_0/norm_1/scale",
    "text_projection/kernel",
    "class_head/bias",
    "logit_scale",
    "adapters/lora/image/encoder/block_1/mlp/in/kernel/up",
    "adapters/context",
)
EXPECTED = (0.125, 0.125, 0.25, 0.5, 1, 0.25, 0.5, 1, 1, 1, 0.5, 1)


def test_the_places_of_a_tower():
    factor = rate_factors(0.5, PATHS)
    assert [factor(path) for path in PATHS] == list(EXPECTED)
    assert {rate_factors(1.0, PATHS)(path) for path in PATHS} == {1.0}
    for wrong in (0, 1.1):
        with pytest.raises(ConfigError, match="layer_decay is .*above 0, at most 1"):
            rate_factors(wrong, PATHS)


def test_it_is_the_rate_that_changes():
    """Decay of weights is part of the update, and so smaller too."""
    params = trees.unflatten({p: jnp.full((2, 2), 3.0) for p in PATHS[:5]})
    gradients = jax.tree.map(jnp.ones_like, params)

    def updates(factor):
        optimizer = adamw(optax.constant_schedule(0.1), rate_factor=factor)
        state = optimizer.init(params)
        return trees.flatten(optimizer.update(gradients, state, params, step=0)[0])

    whole, scaled = updates(None), updates(rate_factors(0.5, PATHS[:5]))
    for path, expected in zip(PATHS, EXPECTED[:5], strict=False):
        np.testing.assert_allclose(scaled[path], expected * whole[path], rtol=1e-6)


def test_of_a_recipe():
    config = tiny(layer_decay=0.5, steps=5)
    shapes = {"params": {"image": {"encoder": {"block_0": {"kernel": 1}}}}}
    factor = build.make_rate_factor(config, lambda key: jax.tree.map(jnp.ones, shapes))
    assert factor("image/encoder/block_0/kernel") == 0.5
    assert build.make_rate_factor(tiny(), None) is None


def test_towers_without_blocks_of_their_own():
    """Words that enter the blocks of pictures are where the patches are."""
    paths = (*PATHS[:4], "text/token_embedding", "text/norm_post/scale")
    factor = rate_factors(0.5, paths)
    assert [factor(path) for path in paths[-2:]] == [0.125, 1]
    with pytest.raises(ConfigError, match="stages of a residual network .image/st"):
        rate_factors(0.5, ("image/stage_1/block_0/kernel",))

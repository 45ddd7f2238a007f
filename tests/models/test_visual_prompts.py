"""Learned tokens beside patches: where they stand, and what they leave alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.visual_prompts import uniform, with_prompts, without_prompts
from vlp_jax.models.vit import ViT

SIZES = dict(width=16, depth=2, heads=2, image_size=8, patch_size=4)
PICTURES = jax.random.normal(jax.random.key(1), (3, 8, 8, 3))


def test_they_stand_behind_the_class_token():
    tokens = jnp.arange(5.0)[None, :, None]
    more = with_prompts(tokens, jnp.array([[7.0], [8.0]]))
    assert more[0, :, 0].tolist() == [0, 7, 8, 1, 2, 3, 4]
    other = with_prompts(more, jnp.array([[5.0], [6.0]]), replaced=2)
    assert other[0, :, 0].tolist() == [0, 5, 6, 1, 2, 3, 4]
    assert without_prompts(other, 2)[0, :, 0].tolist() == [0, 1, 2, 3, 4]


def test_the_first_values():
    values = uniform(24)(jax.random.key(0), (100, 8))
    assert 0.49 < float(jnp.abs(values).max()) <= 0.5
    assert abs(float(values.mean())) < 0.05


@pytest.mark.parametrize("deep", [False, True])
def test_what_a_tower_gets(deep):
    tower = ViT(**SIZES, prompts=3, deep_prompts=deep)
    params = tower.init(jax.random.key(0), PICTURES)["params"]
    plain = ViT(**SIZES).init(jax.random.key(0), PICTURES)["params"]
    new = trees.flatten(params).keys() - trees.flatten(plain).keys()
    blocks = {f"encoder/block_{n}/prompts" for n in range(2)}
    assert new == (blocks if deep else {"prompts"})
    assert tower.apply({"params": params}, PICTURES, pooled=False).shape == (3, 5, 16)

    def pooled(params):
        return tower.apply({"params": params}, PICTURES).sum()

    gradients = trees.flatten(jax.grad(pooled)(params))
    assert all(np.abs(gradients[path]).max() > 0 for path in new)


@pytest.mark.parametrize("how", [dict(scan=True), dict(remat="full")])
def test_scanned_and_computed_again(how):
    tower = ViT(**SIZES, prompts=3, deep_prompts=True)
    variables = tower.init(jax.random.key(0), PICTURES)
    expected = tower.apply(variables, PICTURES)
    found = ViT(**SIZES, prompts=3, deep_prompts=True, **how).apply(variables, PICTURES)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_negative_number_of_prompts():
    with pytest.raises(ConfigError, match="model.image.prompts is -1"):
        ViT(**SIZES, prompts=-1).init(jax.random.key(0), PICTURES)

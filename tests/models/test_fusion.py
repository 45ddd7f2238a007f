"""Fusion layers: what a token sees. Parity: test_albef.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax.models.fusion import BertFusion

STATES = jax.random.normal(jax.random.key(0), (2, 4, 8))
PICTURE = jax.random.normal(jax.random.key(1), (2, 5, 12))
MASK = jnp.array([[True] * 4, [True, True, False, False]])


@pytest.mark.parametrize("scan", [False, True])
def test_tokens_see_the_unmasked_text_and_the_unmasked_picture(scan):
    fusion = BertFusion(width=8, depth=2, heads=2, scan=scan)
    seen = jnp.arange(5) < 3
    seen = jnp.stack([seen, seen])
    variables = fusion.init(jax.random.key(2), STATES, MASK, PICTURE, seen)
    run = jax.jit(fusion.apply)
    found = run(variables, STATES, MASK, PICTURE, seen)
    same = run(variables, STATES, MASK, PICTURE.at[:, 3:].add(1), seen)
    np.testing.assert_array_equal(found, same)
    other = run(variables, STATES, MASK, PICTURE.at[:, 2].add(1), seen)
    assert (np.abs(other - found).max(axis=-1) > 1e-3).all()
    other = run(variables, STATES.at[1, 3].add(1), MASK, PICTURE, seen)
    np.testing.assert_array_equal(found[1, :3], other[1, :3])

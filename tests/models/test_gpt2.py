"""GPT-2's tower reads the end of a text wherever else its id stands."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.models import clip_pair
from tests.models.hf_towers import END, our_tower
from vlp_jax.models.text import POOLS


def test_the_last_token_that_is_not_padding():
    """Start, end and padding share an id here, as in GPT-2's own vocabulary."""
    ids = jnp.array([[9, 4, 9, 9, 9], [9, 4, 5, 6, 9], [9, 9, 9, 9, 9]])
    mask = jnp.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
    found = POOLS["last_unmasked"](ids, mask, 9)
    np.testing.assert_array_equal(found, [2, 4, 4])
    np.testing.assert_array_equal(POOLS["last_unmasked"](ids, None, 9), [4, 4, 4])


def test_all_up_to_the_end_is_seen_and_nothing_behind_it():
    """Though the texts start with the token that ends them."""
    ids, mask = clip_pair.captions(END)
    ids[:, 0] = END
    model = our_tower("gpt2")
    params = jax.jit(model.init)(jax.random.key(0), ids, mask)
    encode = jax.jit(model.apply)
    expected = encode(params, ids, mask)
    behind = encode(params, np.where(mask, ids, END), mask)
    np.testing.assert_array_equal(behind, expected)
    changed = np.where(np.arange(ids.shape[1]) == 1, 5, ids)
    rows = np.abs(encode(params, changed, mask) - expected).max(axis=1)
    assert rows.min() > 1e-3

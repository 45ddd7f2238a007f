"""GPT-2's tower reads the end of a text wherever else its id stands."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.models import clip_pair
from tests.models.comparison import error
from tests.models.hf_towers import END, our_tower
from vlp_jax.models.text import POOLS


def test_the_last_token_that_is_not_padding():
    """Start, end and padding share an id here, as in GPT-2's own vocabulary."""
    ids = jnp.array([[9, 4, 9, 9, 9], [9, 4, 5, 6, 9], [9, 9, 9, 9, 9]])
    mask = jnp.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
    found = POOLS["last_unmasked"](ids, mask, 9)
    np.testing.assert_array_equal(found, [2, 4, 4])
    np.testing.assert_array_equal(POOLS["last_unmasked"](ids, None, 9), [4, 4, 4])


def test_nothing_behind_the_end_is_seen():
    ids, mask = clip_pair.captions(END)
    model = our_tower("gpt2")
    params = jax.jit(model.init)(jax.random.key(0), ids, mask)
    encode = jax.jit(model.apply)
    expected = encode(params, ids, mask)
    np.testing.assert_array_equal(
        encode(params, np.where(mask, ids, END), mask), expected
    )
    changed = np.where(np.arange(ids.shape[1]) == 0, 5, ids)
    assert error(encode(params, changed, mask), expected) > 1e-3

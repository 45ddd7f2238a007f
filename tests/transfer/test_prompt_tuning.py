"""Learned words as the end of the table of words."""

import jax.numpy as jnp
import numpy as np

from tests.transfer.two_towers import KEY, init
from vlp_jax.transfer.adapters import Adapters
from vlp_jax.transfer.prompt_tuning import Context


def test_context_is_the_end_of_the_words():
    adapters = Adapters((Context(2, start=(3, 3)),))
    variables = adapters.begun(adapters.extended(init))(KEY)
    words = init(KEY)["params"]["text"]["token_embedding"]
    params = variables["params"]
    np.testing.assert_array_equal(params["text"]["token_embedding"], words[:5])
    np.testing.assert_array_equal(
        params["adapters"]["context"], words[jnp.array([3, 3])]
    )
    merged = adapters.merged(variables)["params"]["text"]["token_embedding"]
    np.testing.assert_array_equal(merged, words[jnp.array([0, 1, 2, 3, 4, 3, 3])])


def test_without_a_start_they_are_the_tables_own():
    adapters = Adapters((Context(2),))
    variables = adapters.begun(adapters.extended(init))(KEY)
    words = init(KEY)["params"]["text"]["token_embedding"]
    np.testing.assert_array_equal(variables["params"]["adapters"]["context"], words[5:])


def test_values_from_elsewhere_are_kept():
    adapters = Adapters((Context(2, start=(3, 3)),))
    given = {"adapters/context"}
    variables = adapters.begun(adapters.extended(init), given)(KEY)
    words = init(KEY)["params"]["text"]["token_embedding"]
    np.testing.assert_array_equal(variables["params"]["adapters"]["context"], words[5:])

"""Adapters together: what they leave as it is, and in which order they are merged."""

import jax.numpy as jnp
import pytest

from tests.transfer.two_towers import KEY, check_same, init
from vlp_jax.core import trees
from vlp_jax.transfer.adapters import Adapters
from vlp_jax.transfer.lora import Lora
from vlp_jax.transfer.prompt_tuning import Context
from vlp_jax.transfer.sharing import SharedEncoder

ALL = (
    Lora(("query/kernel$",), rank=2),
    Context(2),
    SharedEncoder(),
)


@pytest.mark.parametrize("chosen", [(), ALL[:1], ALL[1:2], ALL[:2]])
def test_before_training_the_model_is_as_it_was(chosen):
    adapters = Adapters(chosen)
    extended = adapters.begun(adapters.extended(init))(KEY)
    assert ("adapters" in extended["params"]) == bool(chosen) == bool(adapters)
    check_same(adapters.merged(extended), init(KEY))


def test_a_change_of_the_shared_transformer_is_shared():
    adapters = Adapters((SharedEncoder(), Lora(("query/kernel$",), rank=2)))
    variables = adapters.begun(adapters.extended(init))(KEY)
    own = variables["params"]["adapters"]["lora"]["image"]["encoder"]["block_0"]
    own["query"]["kernel"]["up"] = jnp.ones((2, 6))
    merged = adapters.merged(variables)["params"]
    before = variables["params"]["image"]["encoder"]
    after = merged["image"]["encoder"]
    kernel = "block_0/query/kernel"
    assert (trees.flatten(after)[kernel] != trees.flatten(before)[kernel]).all()
    check_same(merged["text"]["encoder"], after)

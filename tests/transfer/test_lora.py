"""A low-rank change of matrices, by hand, and what cannot be changed so."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.transfer.two_towers import KEY, flat, init
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.transfer.adapters import Adapters
from vlp_jax.transfer.lora import Lora


def test_lora_by_hand():
    adapters = Adapters((Lora(("^text.*kernel$",), rank=2, alpha=6.0),))
    variables = adapters.extended(init)(KEY)
    own = variables["params"]["adapters"]["lora"]["text"]["encoder"]["block_0"]
    pair = own["query"]["kernel"]
    assert trees.flatten(variables["params"]["adapters"]).keys() == {
        "lora/text/encoder/block_0/query/kernel/down",
        "lora/text/encoder/block_0/query/kernel/up",
    }
    assert pair["down"].shape == (4, 2) and not pair["up"].any()
    pair["up"] = jnp.arange(12.0).reshape(2, 6)
    before, after = flat(init(KEY)), flat(adapters.merged(variables))
    path = "params/text/encoder/block_0/query/kernel"
    expected = before[path] + 6 / 2 * np.asarray(pair["down"]) @ np.asarray(pair["up"])
    np.testing.assert_allclose(after[path], expected, rtol=1e-6)
    others = before.keys() - {path}
    assert all(np.array_equal(before[p], after[p]) for p in others)
    assert (
        Lora(("x",), rank=4).scale == 1 and Lora(("x",), rank=4, alpha=2.0).scale == 0.5
    )


def test_the_scale_of_the_change():
    assert Lora(("x",), rank=4).scale == 1
    assert Lora(("x",), rank=4, alpha=2.0).scale == 0.5


def test_what_lora_cannot_change():
    with pytest.raises(ConfigError, match="lora.rank is 0"):
        Lora(("kernel",), rank=0)
    for pattern, said in (
        ("bias$", "is no matrix"),
        ("kernal", "in no parameter path"),
    ):
        with pytest.raises(ConfigError, match=said):
            Adapters((Lora((pattern,)),)).extended(init)(KEY)

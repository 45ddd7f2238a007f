"""LoRA, learned context and a shared transformer as changes of a tree of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.transfer.adapters import Adapters
from vlp_jax.transfer.lora import Lora
from vlp_jax.transfer.prompt_tuning import Context
from vlp_jax.transfer.sharing import SharedEncoder

KEY = jax.random.key(0)


def init(key):
    """Parameters with a kernel, its bias, words, and two transformers."""
    draw = iter(jax.random.split(key, 9))

    def array(*shape):
        return jax.random.normal(next(draw), shape)

    def encoder():
        return {"block_0": {"query": {"kernel": array(4, 6), "bias": array(6)}}}

    image = {"encoder": encoder(), "norm": {"scale": array(4)}}
    text = {"encoder": encoder(), "token_embedding": array(7, 4)}
    return {"params": {"image": image, "text": text}, "batch_stats": {"mean": array(3)}}


def flat(variables):
    return trees.flatten(dict(variables))


def check_same(one, other):
    one, other = flat(one), flat(other)
    assert one.keys() == other.keys()
    for path in one:
        np.testing.assert_array_equal(one[path], other[path])


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


def test_what_lora_cannot_change():
    with pytest.raises(ConfigError, match="lora.rank is 0"):
        Lora(("kernel",), rank=0)
    for pattern, said in (
        ("bias$", "is no matrix"),
        ("kernal", "in no parameter path"),
    ):
        with pytest.raises(ConfigError, match=said):
            Adapters((Lora((pattern,)),)).extended(init)(KEY)


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

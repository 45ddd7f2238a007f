"""Weights go to other names and shapes and back; what does not fit is listed."""

import numpy as np
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import weights
from vlp_jax.porting.weights import Rule, check_shapes, linear, norm, rule


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


# change: (shapes of ours, shape of theirs)
CHANGES = {
    "SAME": ([(3, 4)], (3, 4)),
    "TRANSPOSED": ([(3, 4)], (4, 3)),
    "PATCHES": ([(5 * 5 * 3, 7)], (7, 3, 5, 5)),
    "CONVOLUTION": ([(3, 5, 2, 7)], (7, 2, 3, 5)),
    "SCALAR_1D": ([()], (1,)),
    "LEADING_1": ([(4, 2)], (1, 4, 2)),
    "LEADING_1_1": ([(4,)], (1, 1, 4)),
    "three biases": ([(4,)] * 3, (12,)),
    "two biases": ([(4,)] * 2, (8,)),
    "three kernels": ([(4, 2)] * 3, (6, 4)),
    "two kernels": ([(4, 2)] * 2, (4, 4)),
    "three beside": ([(4, 2)] * 3, (4, 6)),
    "three biases beside": ([(4,)] * 3, (12,)),
}
STACKS = {
    "three biases": weights.stacked(3),
    "two biases": weights.stacked(2),
    "three kernels": weights.stacked_kernels(3),
    "two kernels": weights.stacked_kernels(2),
    "three beside": weights.beside(3),
    "three biases beside": weights.beside(3),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_and_back_is_the_same(name):
    shapes, theirs = CHANGES[name]
    change = STACKS.get(name) or getattr(weights, name)
    ours = [random(*shape) + i for i, shape in enumerate(shapes)]
    there = change.to_theirs(*ours)
    assert there.shape == theirs
    for mine, back in zip(ours, change.to_ours(there), strict=True):
        np.testing.assert_array_equal(mine, back)


def test_patches_are_what_a_convolution_computes():
    """Our kernel on flattened patches (row, column, channel) and torch's strides."""
    import torch

    kernel, picture = random(4 * 4 * 3, 5), random(8, 8, 3)
    patches = picture.reshape(2, 4, 2, 4, 3).transpose(0, 2, 1, 3, 4).reshape(4, -1)
    convolution = torch.from_numpy(weights.PATCHES.to_theirs(kernel).copy())
    theirs = torch.nn.functional.conv2d(
        torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()), convolution, stride=4
    )
    expected = theirs[0].numpy().reshape(5, -1).T
    np.testing.assert_allclose(patches @ kernel, expected, rtol=1e-5, atol=1e-5)


def test_stacked_attention_is_torchs():
    """One head of our attention, and MultiheadAttention with the same weights."""
    import torch

    three = ("query", "key", "value", "out")
    ours = {f"a/{n}/kernel": random(6, 6) + i for i, n in enumerate(three)}
    ours |= {f"a/{n}/bias": random(6) + i for i, n in enumerate(three)}
    theirs = weights.to_theirs(weights.stacked_attention("a", "x"), ours)
    attention = torch.nn.MultiheadAttention(6, 1, batch_first=True)
    attention.load_state_dict(
        {k.removeprefix("x."): torch.from_numpy(v) for k, v in theirs.items()}
    )
    x = random(3, 6) / 10
    q, k, v = (x @ ours[f"a/{n}/kernel"] + ours[f"a/{n}/bias"] for n in three[:3])
    scores = np.exp(q @ k.T / np.sqrt(6) - (q @ k.T / np.sqrt(6)).max(1, keepdims=True))
    mixed = scores / scores.sum(1, keepdims=True) @ v
    expected = mixed @ ours["a/out/kernel"] + ours["a/out/bias"]
    given = torch.from_numpy(x)[None]
    found = attention(given, given, given)[0][0].detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


RULES = [
    *linear("head", "fc"),
    *norm("norm", "ln"),
    *rule("scale", "s", weights.SCALAR_1D),
]
OURS = {
    "head/kernel": random(2, 3),
    "head/bias": random(3),
    "norm/scale": random(4),
    "norm/bias": random(4) + 1,
    "scale": np.float32(2),
}


def test_a_table_is_read_in_both_directions():
    theirs = weights.to_theirs(RULES, OURS)
    assert {k: v.shape for k, v in theirs.items()} == {
        "fc.weight": (3, 2),
        "fc.bias": (3,),
        "ln.weight": (4,),
        "ln.bias": (4,),
        "s": (1,),
    }
    assert all(array.flags.c_contiguous for array in theirs.values())
    back = weights.to_ours(RULES, theirs)
    assert back.keys() == OURS.keys()
    for path, array in OURS.items():
        np.testing.assert_array_equal(back[path], array)
        assert back[path].flags.c_contiguous


def test_constants_are_written_and_not_read():
    rules = [*RULES, Rule((), "count", constant=np.int64(0))]
    theirs = weights.to_theirs(rules, OURS)
    assert theirs["count"].dtype == np.int64
    assert weights.to_ours(rules, theirs).keys() == OURS.keys()


def test_every_parameter_is_asked_for():
    wrong = {k: v for k, v in OURS.items() if k != "norm/bias"} | {"new": random(1)}
    with pytest.raises(ConfigError, match="parameters are not those") as error:
        weights.to_theirs(RULES, wrong)
    assert "1 missing: norm/bias; 1 unexpected: new" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_every_key_is_asked_for_unless_ignored():
    theirs = weights.to_theirs(RULES, OURS)
    changed = {k: v for k, v in theirs.items() if k != "s"}
    changed |= {"fc.weigth": random(3, 2), "a.position_ids": np.arange(3)}
    with pytest.raises(ConfigError, match="1 missing: s; 2 unexpected: a.position_ids"):
        weights.to_ours(RULES, changed)
    with pytest.raises(ConfigError, match="1 missing: s; 1 unexpected: fc.weigth;"):
        weights.to_ours(RULES, changed, (r"position_ids$",))
    old = theirs | {"a.position_ids": np.arange(3)}
    assert weights.to_ours(RULES, old, (r"position_ids$",)).keys() == OURS.keys()


@pytest.mark.parametrize(
    ("rules", "shape"),
    [
        (rule("a", "x", weights.PATCHES), (4, 4)),
        (weights.stacked_attention("a", "x")[:1], (7, 2)),
        (rule("scale", "x", weights.SCALAR_1D), (2,)),
        (rule("positions", "x", weights.LEADING_1), (2, 4, 3)),
        (rule("probe", "x", weights.LEADING_1_1), (2, 1, 4)),
        (rule("probe", "x", weights.LEADING_1_1), (1, 2, 4)),
    ],
)
def test_an_impossible_shape_is_named(rules, shape):
    keys = {rule.theirs: random(*shape) for rule in rules}
    said = rf"{rules[0].theirs} has the shape \[.*another model"
    with pytest.raises(ConfigError, match=said):
        weights.to_ours(rules, keys)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.arange(3, dtype=np.int8), "fc.bias holds int8; expected float32 or half"),
        (np.array([0, np.nan, 1], np.float32), "fc.bias holds numbers that are not fi"),
        (
            np.array([0, 1, -np.inf], np.float32),
            "fc.bias holds numbers that are not fi",
        ),
    ],
)
def test_what_is_no_weight_is_named(array, said):
    theirs = weights.to_theirs(RULES, OURS) | {"fc.bias": array}
    with pytest.raises(ConfigError, match=said) as error:
        weights.to_ours(RULES, theirs)
    assert len(str(error.value).splitlines()) == 1


def test_shapes_are_those_of_the_model():
    check_shapes(OURS, OURS)
    with pytest.raises(ConfigError) as error:
        wrong = OURS | {"norm/scale": random(5), "more": random(1)}
        check_shapes({k: v for k, v in wrong.items() if k != "scale"}, OURS)
    assert (
        "1 missing: scale; 1 unexpected: more; 1 wrong shape: norm/scale (expected "
        "[4], got [5])" in str(error.value)
    )

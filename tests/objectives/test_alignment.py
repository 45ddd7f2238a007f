"""Optimal transport of words to patches: IPOT in float64, the exact optimum, ViLT's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from tests.objectives.calls import call, check_shared_out, names
from tests.objectives.pairs import error
from vlp_jax.core.errors import ConfigError
from vlp_jax.objectives.alignment import (
    WordPatchAlignment,
    cosine_distances,
    optimal_transport_distance,
    transport_plan,
    words,
)

ROWS, LENGTH, PATCHES, WIDTH = 8, 9, 6, 5


def cosines(first, second):
    first, second = (np.float64(x) for x in (first, second))
    lengths = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)
    return 1 - first @ second.T / lengths


def ipot(cost, beta=0.5, iterations=50):
    """Algorithm 1 of arXiv:1802.04307 on one matrix, in float64."""
    m, n = cost.shape
    sigma, plan = np.full(m, 1 / m), np.ones((m, n))
    kernel = np.exp(-cost / beta)
    for _ in range(iterations):
        scaled = kernel * plan
        delta = 1 / (n * (scaled.T @ sigma))
        sigma = 1 / (m * (scaled @ delta))
        plan = sigma[:, None] * scaled * delta
    return plan


def states(seed=0):
    """(words, patches, which are real): sets of different sizes, one of them empty."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(ROWS, LENGTH, WIDTH)).astype(np.float32)
    second = rng.normal(size=(ROWS, PATCHES, WIDTH)).astype(np.float32)
    first_mask = np.arange(LENGTH) < rng.integers(1, LENGTH + 1, size=(ROWS, 1))
    second_mask = rng.uniform(size=(ROWS, PATCHES)) < 0.7
    second_mask[:, 2] = True
    first_mask[3] = False
    return first, second, first_mask, second_mask


distances = jax.jit(optimal_transport_distance)


def reference(first, second, first_mask, second_mask):
    found = np.zeros(len(first))
    for row in range(len(first)):
        cost = cosines(first[row][first_mask[row]], second[row][second_mask[row]])
        if cost.size:
            found[row] = (ipot(cost) * cost).sum()
    return found


def test_it_is_ipot_on_the_real_states():
    inputs = states()
    expected = reference(*inputs)
    assert expected[3] == 0 and (np.delete(expected, 3) > 0.1).all()
    assert error(distances(*inputs), expected) <= 1e-5
    first, second, first_mask, second_mask = inputs
    first[~first_mask], second[~second_mask] = 1e4, -3.0  # what pads does not matter
    assert error(distances(*inputs), expected) <= 1e-5


def test_plans_have_uniform_margins():
    first, second, first_mask, second_mask = states()
    cost = cosine_distances(*map(jnp.asarray, (first, second)))
    masks = jnp.asarray(first_mask), jnp.asarray(second_mask)
    plan = np.asarray(jax.jit(transport_plan)(cost, *masks))
    some = first_mask.any(1)
    for axis, mask, tolerance in ((2, first_mask, 1e-6), (1, second_mask, 1e-2)):
        expected = mask / np.maximum(mask.sum(1, keepdims=True), 1)
        np.testing.assert_allclose(plan.sum(axis)[some], expected[some], atol=tolerance)


def test_it_nears_the_exact_optimum():
    """The linear program over all plans with uniform margins."""
    rng = np.random.default_rng(1)
    m, n = 4, 3
    first, second = rng.normal(size=(6, m, WIDTH)), rng.normal(size=(6, n, WIDTH))
    margins = np.concatenate(
        [
            np.kron(np.eye(m), np.ones(n)),
            np.kron(np.ones(m), np.eye(n)),
        ]
    )
    shares = np.concatenate([np.full(m, 1 / m), np.full(n, 1 / n)])
    exact = [
        linprog(cosines(a, b).ravel(), A_eq=margins, b_eq=shares).fun
        for a, b in zip(first, second, strict=True)
    ]
    masks = np.ones((6, m), bool), np.ones((6, n), bool)
    inputs = (*map(np.float32, (first, second)), *masks)
    found = jax.jit(lambda *x: optimal_transport_distance(*x, 0.1, 1000))(*inputs)
    assert error(found, np.array(exact)) <= 1e-5
    fifty = distances(*inputs)  # as published: near, and not there
    assert 1e-4 < error(fifty, np.array(exact)) <= 1e-2


def test_the_plan_is_a_constant_of_the_gradient():
    first, second, first_mask, second_mask = (x[:2] for x in states())
    gradients = jax.grad(
        lambda *x: distances(*x, first_mask, second_mask).sum(), (0, 1)
    )
    found = gradients(first, second)
    plans = np.zeros((2, LENGTH, PATCHES))
    for row in range(2):
        both = np.ix_(first_mask[row], second_mask[row])
        real = first[row][first_mask[row]], second[row][second_mask[row]]
        plans[row][both] = ipot(cosines(*real))
    for which, (x, gradient) in enumerate(zip((first, second), found, strict=True)):
        step = np.zeros(x.shape)
        step[1, 0 if which == 0 else 2, 1] = 1e-5
        sides = []
        for sign in (1, -1):
            moved = [np.float64(first), np.float64(second)]
            moved[which] += sign * step
            costs = np.stack([cosines(a, b) for a, b in zip(*moved, strict=True)])
            sides.append((plans * costs).sum())
        slope = (sides[0] - sides[1]) / 2e-5
        place = np.nonzero(step)
        np.testing.assert_allclose(np.asarray(gradient)[place], slope, rtol=1e-3)


def test_states_of_zeros_have_finite_gradients():
    first, second, first_mask, second_mask = states()
    first[:] = 0
    loss = lambda x: distances(x, second, first_mask, second_mask).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(loss)(first)
    assert error(value, first_mask.any(1).sum()) <= 1e-5  # every cosine is 0
    assert np.isfinite(gradient).all()


def test_words_are_what_stands_between_start_and_end():
    mask = jnp.arange(5) < jnp.array([[5], [3], [2], [1], [0]])
    expected = [
        [0, 1, 1, 1, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    np.testing.assert_array_equal(words(mask), expected)


def arrays():
    found = {"valid": np.arange(ROWS) != 5}
    for prefix, seed in (("", 0), ("unmatched_", 1)):
        found[f"{prefix}word_states"], found[f"{prefix}patch_states"], *_ = states(seed)
        lengths = 2 + (np.arange(ROWS) + seed)[:, None] % (LENGTH - 1)
        found[f"{prefix}text_mask"] = np.arange(LENGTH) < lengths
    return found


def expected_distances(inputs, prefix=""):
    mask = inputs[f"{prefix}text_mask"].copy()
    mask[:, 0] = False
    mask[np.arange(ROWS), inputs[f"{prefix}text_mask"].sum(1) - 1] = False
    everything = np.ones((ROWS, PATCHES), bool)
    sides = inputs[f"{prefix}word_states"], inputs[f"{prefix}patch_states"]
    return reference(*sides, mask, everything)[inputs["valid"]]


def test_vilts_loss():
    """(sum of matched - sum of unmatched) / (number of both)."""
    inputs = arrays()
    total, count, metrics, gradients = call(WordPatchAlignment(), inputs)
    matched = expected_distances(inputs)
    unmatched = expected_distances(inputs, "unmatched_")
    assert error(total, matched.sum() - unmatched.sum()) <= 2e-5
    assert count == 14
    assert error(metrics["matched"], matched.mean()) <= 1e-5
    assert error(metrics["unmatched"], unmatched.mean()) <= 1e-5
    for name, gradient in gradients.items():
        moved = np.asarray(gradient).any((1, 2))
        # Row 0 has no word in its matched text, row 7 none in its unmatched one.
        without = 7 if name.startswith("unmatched_") else 0
        assert moved.tolist() == [row not in (without, 5) for row in range(ROWS)]
        if "word" in name:
            assert not np.asarray(gradient)[:, 0].any()  # start tokens


def test_matched_pairs_alone():
    inputs = {k: x for k, x in arrays().items() if not k.startswith("unmatched")}
    objective = WordPatchAlignment(unmatched=False)
    assert names(objective) == set(inputs)
    total, count, metrics, _ = call(objective, inputs)
    assert error(total, expected_distances(inputs).sum()) <= 1e-5
    assert count == 7 and set(metrics) == {"matched"}


def test_eight_devices():
    check_shared_out(WordPatchAlignment(), arrays())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beta": 0.0}, "beta is 0.0; expected at least 0.001"),
        ({"iterations": 0}, "iterations is 0; expected at least 1"),
    ],
)
def test_wrong_options_are_explained(options, said):
    with pytest.raises(ConfigError, match=said):
        WordPatchAlignment(**options)

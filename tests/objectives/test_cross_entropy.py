"""Cross entropy of tokens beside PyTorch's: value, gradient, smoothing, teachers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from tests.objectives.pairs import error
from vlp_jax.objectives.cross_entropy import (
    accuracy,
    cross_entropy,
    next_tokens,
    ramped,
    soft_cross_entropy,
)

SHAPE = (3, 4, 7)


def some_logits(seed=0):
    return 4 * np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


TARGETS = np.random.default_rng(2).integers(0, 7, size=SHAPE[:2])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
def test_it_is_torchs(label_smoothing):
    logits = torch.tensor(some_logits(), dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1),
        torch.tensor(TARGETS).flatten(),
        reduction="none",
        label_smoothing=label_smoothing,
    )
    expected.square().sum().backward()
    found, pullback = jax.vjp(
        lambda x: cross_entropy(x, jnp.asarray(TARGETS), label_smoothing),
        some_logits(),
    )
    assert found.shape == SHAPE[:2]
    assert error(found.ravel(), expected.detach().numpy()) <= 1e-5
    assert error(pullback(2 * found)[0], logits.grad.numpy()) <= 1e-5


def test_soft_targets_are_torchs_and_stay_fixed():
    logits, teacher = (
        torch.tensor(some_logits(seed), dtype=torch.float64, requires_grad=True)
        for seed in (0, 1)
    )
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), teacher.softmax(-1).flatten(0, 1), reduction="none"
    )
    expected.sum().backward()
    loss = lambda *x: soft_cross_entropy(*x).sum()  # noqa: E731
    inputs = some_logits(0), some_logits(1)
    value, gradients = jax.value_and_grad(loss, (0, 1))(*inputs)
    assert error(value, expected.sum().item()) <= 1e-5
    assert error(gradients[0], logits.grad.numpy()) <= 1e-5
    assert not np.asarray(gradients[1]).any()


def test_a_teacher_that_is_sure_is_a_target():
    teacher = 1e4 * jax.nn.one_hot(TARGETS, 7)
    logits = jnp.asarray(some_logits())
    np.testing.assert_allclose(
        soft_cross_entropy(logits, teacher),
        cross_entropy(logits, jnp.asarray(TARGETS)),
        rtol=1e-6,
    )


def test_logits_of_half_precision_are_summed_in_single():
    logits = jnp.asarray(some_logits(), jnp.bfloat16)
    found = cross_entropy(logits, jnp.asarray(TARGETS))
    assert found.dtype == jnp.float32
    expected = cross_entropy(logits.astype(jnp.float32), jnp.asarray(TARGETS))
    np.testing.assert_array_equal(found, expected)
    assert soft_cross_entropy(logits, logits).dtype == jnp.float32


def test_a_share_rises_from_nothing():
    steps = [0, 5, 10, 1000]
    found = [float(ramped(0.4, 10, jnp.int32(s))) for s in steps]
    np.testing.assert_allclose(found, [0, 0.2, 0.4, 0.4], rtol=1e-6)
    assert [ramped(0.4, 0, jnp.int32(s)) for s in steps] == [0.4] * 4


def test_what_each_position_should_predict():
    tokens = jnp.array([[2, 5, 6, 3, 0], [2, 3, 0, 0, 0], [2, 5, 6, 7, 3]])
    mask = jnp.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
    targets, counted = next_tokens(tokens, mask, jnp.array([True, True, False]))
    np.testing.assert_array_equal(targets[0], [5, 6, 3, 0])
    np.testing.assert_array_equal(counted, [[1, 1, 1, 0], [1, 0, 0, 0], [0] * 4])


def test_accuracy_of_the_counted():
    logits = jax.nn.one_hot(jnp.array([[0, 1, 2], [0, 1, 2]]), 5)
    targets = jnp.array([[0, 1, 0], [3, 1, 2]])
    counted = jnp.array([[True, True, True], [True, False, False]])
    np.testing.assert_allclose(accuracy(logits, targets, counted), 0.5)
    assert accuracy(logits, targets, jnp.zeros((2, 3), bool)) == 0

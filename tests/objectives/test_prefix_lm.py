"""Prefix language modelling: which tokens are given, and what the others cost."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

from tests.objectives.calls import call, check_shared_out, names
from tests.objectives.pairs import error
from vlp_jax.objectives.prefix_lm import PrefixLM, random_prefix_length

ROWS, LENGTH, VOCABULARY = 8, 7, 9


def arrays():
    rng = np.random.default_rng(0)
    size = ROWS, LENGTH, VOCABULARY
    lengths = np.array([7, 7, 2, 5, 1, 4, 6, 3])
    return {
        "prefix_logits": 3 * rng.normal(size=size).astype(np.float32),
        "prefix_length": np.array([1, 6, 1, 2, 1, 3, 3, 1], np.int32),
        "text_tokens": rng.integers(0, VOCABULARY, (ROWS, LENGTH), dtype=np.int32),
        "text_mask": np.arange(LENGTH) < lengths[:, None],
        "valid": np.arange(ROWS) != 3,
    }


def test_what_is_given_costs_nothing():
    """The mean of torch's cross entropy over what is behind the prefix."""
    inputs = arrays()
    assert names(PrefixLM()) == set(inputs)
    total, count, metrics, gradients = call(PrefixLM(), inputs)
    logits = torch.tensor(inputs["prefix_logits"].astype(np.float64))
    logits.requires_grad_(True)
    labels = torch.tensor(inputs["text_tokens"].astype(np.int64))
    given = np.arange(LENGTH) < inputs["prefix_length"][:, None]
    counted = inputs["text_mask"] & ~given & inputs["valid"][:, None]
    labels[~torch.tensor(counted)] = -100
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, VOCABULARY), labels[:, 1:].reshape(-1)
    )
    loss.backward()
    assert count == 6 + 1 + 1 + 0 + 0 + 1 + 3 + 2
    assert error(total / count, loss.item()) <= 1e-5
    assert error(gradients["prefix_logits"] / count, logits.grad.numpy()) <= 1e-5
    assert 0 <= metrics["accuracy"] <= 1


def test_eight_devices():
    check_shared_out(PrefixLM(), arrays())


def test_every_length_of_a_prefix_is_as_likely():
    """From the start token to all but one; chi-square of five lengths, p = 0.001."""
    rows = 4000
    mask = jnp.arange(9) < jnp.where(jnp.arange(rows) % 2, 6, 1)[:, None]
    found = np.asarray(jax.jit(random_prefix_length)(mask, jax.random.key(0)))
    np.testing.assert_array_equal(found[::2], 1)  # of one token it is all
    counts = np.bincount(found[1::2], minlength=6)
    assert counts[0] == 0 and len(counts) == 6
    expected = rows / 2 / 5
    assert ((counts[1:] - expected) ** 2 / expected).sum() < 18.5
    assert PrefixLM.derived == {"prefix_length": random_prefix_length}
    other = random_prefix_length(mask, jax.random.key(1))
    assert (found != other).any()

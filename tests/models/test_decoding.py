"""Settings of generation: refusals, and the filters of transformers."""

import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.models.decoding import Decoding, adjusted, warped

LOGITS = np.random.default_rng(0).normal(0, 2, (40, 19)).astype(np.float32)


def test_filters_are_those_of_transformers():
    import torch
    from transformers import (
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    kept = set()
    for temperature, k, p in (
        (0.7, 0, 1.0),
        (1.0, 4, 1.0),
        (2.0, 9, 0.8),
        (1.0, 0, 0.3),
    ):
        expected = torch.from_numpy(LOGITS)
        filters = [TemperatureLogitsWarper(temperature)]
        filters += [TopKLogitsWarper(k)] if k else []
        filters += [TopPLogitsWarper(p)] if p < 1 else []
        for one in filters:
            expected = one(None, expected)
        settings = Decoding(
            3, 1, method="sample", temperature=temperature, top_k=k, top_p=p
        )
        found = warped(jnp.asarray(LOGITS), settings)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)
        kept.add(int(np.isfinite(found).sum()))
    assert len(kept) == 4 and max(kept) == LOGITS.size


def test_one_token_is_always_left():
    settings = Decoding(3, 1, method="sample", top_p=0.0)
    left = np.isfinite(warped(jnp.asarray(LOGITS), settings))
    np.testing.assert_array_equal(left.argmax(axis=1), LOGITS.argmax(axis=1))
    assert (left.sum(axis=1) == 1).all()


def test_repetitions_pay_and_room_for_tokens_is_none():
    """Prompt 5, new tokens 2 and 2; behind them there is only room."""
    settings = Decoding(3, 1, length=4, repetition_penalty=2.0)
    tokens = jnp.array([[5, 2, 2, 1, 1]])
    scores = jnp.array([[-1.0, -2.0, -3.0, 4.0, 5.0, 6.0]])
    found = adjusted(scores, tokens, jnp.int32(2), settings)
    np.testing.assert_array_equal(found, [[-1, -2, -6, 4, 5, 3]])


def test_no_text_ends_too_early():
    settings = Decoding(3, 1, length=4, min_length=2)
    tokens, scores = jnp.full((1, 5), 1), jnp.zeros((1, 6))
    ends = [adjusted(scores, tokens, jnp.int32(n), settings)[0, 3] for n in range(4)]
    np.testing.assert_array_equal(ends, [-np.inf, -np.inf, 0, 0])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (dict(method="beams"), "unknown method of generation 'beams'.*'beam'"),
        (dict(length=0), "length is 0; expected at least 1"),
        (dict(length=5, min_length=5), "min_length is 5; expected 0 to 4"),
        (dict(beams=0), "beams is 0"),
        (dict(method="sample", top_p=1.5), "top_p is 1.5; expected 0 to 1"),
        (dict(method="sample", temperature=0.0), "temperature is 0.0; expected above"),
        (dict(repetition_penalty=-1.0), "repetition_penalty is -1.0"),
        (dict(top_k=5), "top_k is read by method='sample' alone.*'beam'; leave it out"),
        (dict(method="greedy", length_penalty=2.0), "read by method='beam' alone"),
    ],
)
def test_refusals(settings, said):
    with pytest.raises(ConfigError, match=said):
        Decoding(3, 1, **settings)

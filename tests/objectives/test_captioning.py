"""Captioning: the loss of PyTorch's decoders, prompts, padding."""

import numpy as np
import pytest
import torch

from tests.objectives.calls import call, check_shared_out, names
from tests.objectives.pairs import error
from vlp_jax.core.errors import ConfigError
from vlp_jax.objectives.captioning import Captioning

ROWS, LENGTH, VOCABULARY = 8, 7, 9


def arrays():
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(ROWS, LENGTH, VOCABULARY)).astype(np.float32)
    return {
        "caption_logits": logits,
        "text_tokens": rng.integers(0, VOCABULARY, (ROWS, LENGTH), dtype=np.int32),
        "text_mask": np.arange(LENGTH) < rng.integers(1, LENGTH + 1, size=(ROWS, 1)),
        "valid": np.arange(ROWS) != 3,
    }


def torchs_mean(inputs, label_smoothing, prompt_length=0):
    """What BLIP's decoder computes, in float64: (loss, gradient, number of tokens)."""
    logits = torch.tensor(inputs["caption_logits"].astype(np.float64))
    logits.requires_grad_(True)
    labels = torch.tensor(inputs["text_tokens"].astype(np.int64))
    labels[~torch.tensor(inputs["text_mask"])] = -100
    labels[~torch.tensor(inputs["valid"])] = -100
    labels[:, :prompt_length] = -100
    shifted, labels = logits[:, :-1], labels[:, 1:]
    loss = torch.nn.CrossEntropyLoss(label_smoothing=label_smoothing)(
        shifted.reshape(-1, VOCABULARY), labels.reshape(-1)
    )
    loss.backward()
    return loss.item(), logits.grad.numpy(), (labels != -100).sum().item()


@pytest.mark.parametrize("options", [(0.1, 0), (0.0, 0), (0.1, 1), (0.2, 3)])
def test_it_is_blips(options):
    inputs = arrays()
    objective = Captioning(*options)
    assert names(objective) == set(inputs)
    total, count, metrics, gradients = call(objective, inputs)
    expected, gradient, number = torchs_mean(inputs, *options)
    assert count == number
    assert error(total / count, expected) <= 1e-5
    assert error(gradients["caption_logits"] / count, gradient) <= 1e-5
    assert 0 <= metrics["accuracy"] <= 1


def test_defaults_are_those_published():
    total, count, *_ = call(Captioning(), arrays())
    assert error(total / count, torchs_mean(arrays(), 0.1)[0]) <= 1e-5


def test_a_caption_that_is_known_costs_nothing():
    inputs = arrays()
    following = np.roll(inputs["text_tokens"], -1, axis=1)
    inputs["caption_logits"] = 100 * np.eye(VOCABULARY, dtype=np.float32)[following]
    total, _, metrics, _ = call(Captioning(label_smoothing=0.0), inputs)
    assert total < 1e-6 and metrics["accuracy"] == 1
    inputs["caption_logits"] = np.roll(inputs["caption_logits"], 1, axis=1)
    total, count, *_ = call(Captioning(label_smoothing=0.0), inputs)
    assert total / count > 10  # it is the next token, not this one


def test_eight_devices():
    check_shared_out(Captioning(), arrays())


def test_wrong_options_are_explained():
    with pytest.raises(ConfigError, match="label_smoothing is 2.0; expected 0 to 1"):
        Captioning(label_smoothing=2.0)
    with pytest.raises(ConfigError, match="prompt_length is -1"):
        Captioning(prompt_length=-1)

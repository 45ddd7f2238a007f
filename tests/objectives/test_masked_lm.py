"""Masked language modelling: what is derived, the mean over tokens, the teacher."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen as nn

from tests.objectives.calls import call, check_shared_out, names, needs_momentum
from tests.objectives.pairs import error
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.objectives.masked_lm import MaskedLM

ROWS, LENGTH, VOCABULARY = 8, 6, 11
IDS = {"mask_id": 1, "vocab_size": VOCABULARY, "pad_id": 0, "bos_id": 2, "eos_id": 3}


def masked_lm(word_borders=None, **options):
    return MaskedLM(**IDS, word_borders=word_borders, **options)


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(ROWS, LENGTH, VOCABULARY)).astype(np.float32)
    return {
        "masked_lm_logits": logits,
        "masked": rng.uniform(size=(ROWS, LENGTH)) < 0.4,
        "text_tokens": rng.integers(4, VOCABULARY, size=(ROWS, LENGTH), dtype=np.int32),
        "valid": np.arange(ROWS) != 2,
    }


def torchs_mean(inputs, teacher=None, share=0.0):
    """ALBEF's loss in float64: (mean over masked tokens of valid rows, gradient)."""
    logits = torch.tensor(inputs["masked_lm_logits"].astype(np.float64))
    logits.requires_grad_(True)
    counted = torch.tensor(inputs["masked"] & inputs["valid"][:, None])
    labels = torch.tensor(inputs["text_tokens"].astype(np.int64))
    labels[~counted] = -100
    flat = logits.flatten(0, 1), labels.flatten()
    loss = torch.nn.functional.cross_entropy(*flat)
    if share:
        soft = torch.tensor(teacher.astype(np.float64)).softmax(-1)
        distilled = -(logits.log_softmax(-1) * soft).sum(-1)[counted].mean()
        loss = (1 - share) * loss + share * distilled
    loss.backward()
    return loss.item(), logits.grad.numpy()


def test_the_mean_over_the_masked_tokens_of_the_batch():
    inputs = arrays()
    objective = masked_lm()
    assert names(objective) == set(inputs) and not needs_momentum(objective)
    total, count, metrics, gradients = call(objective, inputs)
    expected, gradient = torchs_mean(inputs)
    counted = inputs["masked"] & inputs["valid"][:, None]
    assert count == counted.sum() < inputs["masked"].sum()
    assert error(total / count, expected) <= 1e-5
    assert error(gradients["masked_lm_logits"] / count, gradient) <= 1e-5
    right = inputs["masked_lm_logits"].argmax(-1) == inputs["text_tokens"]
    assert error(metrics["accuracy"], right[counted].mean()) <= 1e-6


@pytest.mark.parametrize(("step", "share"), [(0, 0.0), (5, 0.1), (20, 0.4), (99, 0.4)])
def test_a_teacher_gets_its_share(step, share):
    inputs = arrays()
    teacher = arrays(seed=1)["masked_lm_logits"]
    objective = masked_lm(soft_share=0.4, ramp_steps=20)
    assert needs_momentum(objective) == {
        Need("masked_lm_logits", parameters="momentum")
    }
    total, count, _, gradients = call(
        objective, inputs, teacher={"masked_lm_logits": teacher}, step=step
    )
    expected, gradient = torchs_mean(inputs, teacher, share)
    assert error(total / count, expected) <= 1e-5
    assert error(gradients["masked_lm_logits"] / count, gradient) <= 1e-5


def test_nothing_masked_is_no_loss():
    inputs = arrays() | {"masked": np.zeros((ROWS, LENGTH), bool)}
    total, count, metrics, gradients = call(masked_lm(), inputs)
    assert total == count == metrics["accuracy"] == 0
    assert not np.asarray(gradients["masked_lm_logits"]).any()


def test_eight_devices():
    check_shared_out(masked_lm(), arrays())


# ---- what it derives


def derive(objective, tokens, mask, seed=0):
    """(masked, masked_tokens), each from what its parameters name."""
    known = {"text_tokens": jnp.asarray(tokens), "text_mask": jnp.asarray(mask)}
    for number, name in enumerate(("masked", "masked_tokens")):
        function = objective.derived[name]
        known["key"] = jax.random.key(2 * seed + number)
        asked = inspect.signature(function).parameters
        known[name] = jax.jit(function)(**{key: known[key] for key in asked})
    return np.asarray(known["masked"]), np.asarray(known["masked_tokens"])


def texts(rows=2000):
    """Start, four to six tokens, end, padding; 4, 6, 8 begin words."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(4, VOCABULARY, size=(rows, 9), dtype=np.int32)
    tokens[:, 0] = 2
    ends = rng.integers(5, 8, size=(rows, 1))
    tokens = np.where(np.arange(9) == ends, 3, tokens)
    mask = np.arange(9) <= ends
    return np.where(mask, tokens, 0).astype(np.int32), mask


def test_masked_texts():
    tokens, mask = texts()
    masked, seen = derive(masked_lm(), tokens, mask)
    assert seen.dtype == np.int32
    plain = tokens > 3
    assert not masked[~plain].any()
    assert abs(masked[plain].mean() - 0.15) < 0.02
    np.testing.assert_array_equal(seen[~masked], tokens[~masked])
    assert abs((seen[masked] == 1).mean() - 0.8) < 0.05
    assert not np.isin(seen[masked], [0, 2, 3]).any()
    more, _ = derive(masked_lm(share=0.5), tokens, mask)
    assert abs(more[plain].mean() - 0.5) < 0.03


def test_whole_words():
    tokens, mask = texts()
    borders = np.zeros((2, VOCABULARY), bool)
    borders[0, [4, 6, 8]] = True
    masked, _ = derive(masked_lm(borders, whole_word=True), tokens, mask)
    goes_on = (tokens[:, 1:] > 3) & (tokens[:, :-1] > 3) & (tokens[:, 1:] % 2 == 1)
    goes_on |= (tokens[:, 1:] == 10) & (tokens[:, :-1] > 3)
    assert goes_on.sum() > 1000
    np.testing.assert_array_equal(masked[:, 1:][goes_on], masked[:, :-1][goes_on])
    alone, _ = derive(masked_lm(borders), tokens, mask)
    assert (alone[:, 1:][goes_on] != alone[:, :-1][goes_on]).any()


class Reader(nn.Module):
    """The least of a model that tells masked tokens: a table."""

    @nn.compact
    def masked_lm_logits(self, masked_tokens, text_mask):
        found = nn.Embed(VOCABULARY, VOCABULARY)(masked_tokens)
        return jnp.where(text_mask[..., None], found, 0)


def test_in_the_graph_of_outputs():
    """Learner and teacher see the same masked tokens; another key masks others."""
    tokens, mask = texts(rows=64)
    batch = {
        "pairs": {
            "text_tokens": jnp.asarray(tokens),
            "text_mask": jnp.asarray(mask),
            "valid": jnp.ones(64, bool),
        }
    }
    objective, model = masked_lm(soft_share=1.0), Reader()
    variables = model.init(
        jax.random.key(0), tokens, mask, method=model.masked_lm_logits
    )
    both = {"live": variables, "momentum": variables}
    needs = (*objective.needs, Need("masked_tokens"))
    compute = jax.jit(
        lambda key: compute_outputs(model, objective.derived)(both, needs, batch, key)
    )
    outputs, _ = compute(jax.random.key(1))
    seen, masked = (outputs[Need(n)] for n in ("masked_tokens", "masked"))
    np.testing.assert_array_equal(seen[~masked], tokens[~np.asarray(masked)])
    assert (np.asarray(seen) == 1).any()
    live, teacher = outputs[needs[0]], outputs[objective.needs[-1]]
    np.testing.assert_array_equal(live, teacher)
    term = objective(outputs, jnp.int32(0), ())
    assert term.count == masked.sum() > 0
    other, _ = compute(jax.random.key(2))
    assert (np.asarray(other[Need("masked")]) != np.asarray(masked)).any()


# ---- refusals


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"share": 1.5}, "share is 1.5; expected 0 to 1"),
        ({"soft_share": -0.1}, "soft_share is -0.1; expected 0 to 1"),
        ({"ramp_steps": -1}, "ramp_steps is -1"),
    ],
)
def test_wrong_options_are_explained(options, said):
    with pytest.raises(ConfigError, match=said):
        masked_lm(**options)


def test_tokenizers_that_will_not_do_are_explained():
    masked_lm().check(ROWS, 100)
    without = MaskedLM(**IDS | {"mask_id": None}, word_borders=None)
    with pytest.raises(ConfigError, match="needs a mask token, which this tokenizer"):
        without.check(ROWS, 100)
    with pytest.raises(ConfigError, match="does not tell where words begin"):
        masked_lm(whole_word=True).check(ROWS, 100)

"""Cross entropy over classes, against numbers worked out by hand."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from tests.objectives.calls import call, check_shared_out, names
from vlp_jax.core.errors import ConfigError
from vlp_jax.objectives.classification import Classification

LOG3 = math.log(3)


def pictures():
    """Shares of the right class 3/4 and 1/4 of two; what fills up has almost none."""
    return {
        "class_logits": np.float32([[0, LOG3], [0, LOG3], [0, 99]]),
        "label": np.int32([1, 0, 0]),
        "valid": np.array([True, True, False]),
    }


@pytest.mark.parametrize("stream", ["labels", "texts"])
def test_the_loss_of_two_pictures(stream):
    objective, inputs = Classification(stream=stream), pictures()
    assert names(objective) == set(inputs) and objective.scope == "micro"
    total, count, metrics, gradients = call(objective, inputs, stream)
    assert count == 2
    assert float(total) == pytest.approx(math.log(4 / 3) + math.log(4), abs=1e-6)
    assert float(metrics["accuracy"]) == 1 / 2
    expected = [[1 / 4, -1 / 4], [-3 / 4, 3 / 4], [0, 0]]
    np.testing.assert_allclose(gradients["class_logits"], expected, atol=1e-6)


def test_label_smoothing():
    """Of 0.2: nine tenths for the right one of two."""
    inputs = pictures()
    total = call(Classification(label_smoothing=0.2), inputs, "labels")[0]
    right, wrong = math.log(4 / 3), math.log(4)
    expected = 0.9 * right + 0.1 * wrong + 0.9 * wrong + 0.1 * right
    assert float(total) == pytest.approx(expected, abs=1e-6)


def test_the_prompts_of_classes_are_given_to_the_model():
    tokens = jnp.arange(6).reshape(2, 3)
    found = Classification(class_prompts={"class_tokens": tokens}).derived
    assert found.keys() == {"class_tokens"} and found["class_tokens"]() is tokens
    assert Classification().derived == {}


def test_settings_that_make_no_sense():
    with pytest.raises(ConfigError, match="unknown objectives.classification.stream"):
        Classification(stream="pairs")
    with pytest.raises(ConfigError, match="label_smoothing is 1.5"):
        Classification(label_smoothing=1.5)


def test_eight_devices():
    inputs = {name: np.concatenate([x] * 8) for name, x in pictures().items()}
    check_shared_out(Classification(), inputs, stream="labels")

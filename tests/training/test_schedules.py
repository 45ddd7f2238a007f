"""Learning rates at chosen steps, and settings of them that cannot be."""

import numpy as np
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.training.schedules import learning_rate


def test_learning_rate_warms_up_then_follows_a_cosine():
    rate = learning_rate(110, peak=0.8, warmup_steps=10)
    steps = {
        0: 0.0,
        1: 0.08,
        5: 0.4,
        10: 0.8,
        35: 0.682843,
        60: 0.4,
        110: 0.0,
        200: 0.0,
    }
    for step, expected in steps.items():
        np.testing.assert_allclose(rate(step), expected, atol=1e-6)
    final = learning_rate(100, peak=0.8, final_fraction=0.25)
    found = [float(final(step)) for step in (0, 50, 100)]
    np.testing.assert_allclose(found, [0.8, 0.5, 0.2], rtol=1e-6)
    constant = learning_rate(100, peak=0.8, warmup_steps=4, decay="constant")
    found = [float(constant(step)) for step in (0, 1, 4, 99)]
    np.testing.assert_allclose(found, [0.0, 0.2, 0.8, 0.8], rtol=1e-6)


def test_cooldown_is_a_line_from_the_plateau_to_the_end():
    rate = learning_rate(
        100, peak=0.8, warmup_steps=10, decay="constant", cooldown_steps=20
    )
    np.testing.assert_allclose(
        [rate(s) for s in (5, 10, 50, 80, 90, 95, 100)],
        [0.4, 0.8, 0.8, 0.8, 0.4, 0.2, 0.0],
        atol=1e-7,
    )
    with pytest.raises(ConfigError, match="cooldown_steps is 91; warm-up and cooldown"):
        learning_rate(100, 1.0, warmup_steps=10, cooldown_steps=91, decay="constant")
    with pytest.raises(ConfigError, match="a cosine needs no cooldown"):
        learning_rate(100, 1.0, cooldown_steps=9)


def test_learning_rate_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="must lie within the run's 10 steps"):
        learning_rate(10, 1.0, warmup_steps=11)
    with pytest.raises(ConfigError, match="did you mean 'cosine'"):
        learning_rate(10, 1.0, decay="cosin")
    with pytest.raises(ConfigError, match="final_fraction"):
        learning_rate(10, 1.0, decay="constant", final_fraction=0.1)

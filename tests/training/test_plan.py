"""When things happen in a run: numbers that make no sense are refused by name."""

import pytest

from tests.training.plans import plan
from vlp_jax.core.errors import ConfigError


@pytest.mark.parametrize(
    ("field", "setting"),
    [
        ("total_steps", "steps"),
        ("batch_size", "batch_size"),
        ("log_every", "log_every"),
        ("save_every", "checkpoint.every"),
        ("nonfinite_in_a_row", "nonfinite.in_a_row"),
    ],
)
def test_a_plan_that_makes_no_sense(field, setting):
    with pytest.raises(ConfigError, match=f"^{setting} is 0; expected at least 1"):
        plan(**{field: 0})
    with pytest.raises(ConfigError, match="^nonfinite.rollbacks is -1; expected at"):
        plan(rollbacks=-1)
    with pytest.raises(ConfigError, match="^watchdog is -2.0; expected at least 0"):
        plan(watchdog=-2.0)

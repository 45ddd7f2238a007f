"""When things happen in a run: numbers that make no sense are refused by name."""

import pytest

from tests.training.plans import plan
from vlp_jax.core.errors import ConfigError


@pytest.mark.parametrize(
    ("field", "setting"),
    [
        ("total_steps", "steps"),
        ("log_every", "log_every"),
        ("save_every", "checkpoint.every"),
        ("nonfinite_in_a_row", "nonfinite.in_a_row"),
    ],
)
def test_a_plan_that_makes_no_sense(field, setting):
    with pytest.raises(ConfigError, match=f"^{setting} is 0; expected at least 1"):
        plan(**{field: 0})
    with pytest.raises(ConfigError, match="^batch_size is 0; expected at least 1"):
        plan(rows={"pairs": 8, "questions": 0})
    with pytest.raises(ConfigError, match="^nonfinite.rollbacks is -1; expected at"):
        plan(rollbacks=-1)
    with pytest.raises(ConfigError, match="^watchdog is -2.0; expected at least 0"):
        plan(watchdog=-2.0)


def test_the_samples_of_a_step_are_those_of_all_streams():
    assert plan(rows={"pairs": 8, "questions": 5}).batch_size == 13

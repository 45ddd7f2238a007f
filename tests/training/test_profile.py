"""Traces of chosen steps, and of steps that do not exist."""

import jax
import jax.numpy as jnp
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.training.profile import profile_steps, profiled


def test_chosen_steps_are_traced(tmp_path, capsys):
    step = profiled(jax.jit(lambda s, b: (s + b, {})), tmp_path, range(4, 6), 2)
    state, seen = jnp.zeros(()), []
    for _ in range(5):
        state, _ = step(state, jnp.ones(()))
        seen.append(len(list(tmp_path.rglob("*.xplane.pb"))))
    assert seen == [0, 0, 1, 1, 1] and state == 5
    assert "profile of steps 4 to 5" in capsys.readouterr().out


def test_a_run_that_goes_on_after_them_traces_nothing(tmp_path):
    step = profiled(lambda s, b: (s, {}), tmp_path, range(4, 6), 10)
    step(0, 0)
    assert not list(tmp_path.iterdir())


def test_which_steps():
    assert profile_steps(None, 3, 10) == range(0)
    assert profile_steps(8, 3, 10) == range(8, 11)
    for first, count in ((9, 3), (0, 1), (2, 0)):
        with pytest.raises(ConfigError, match="lies outside the run's steps 1 to 10"):
            profile_steps(first, count, 10)

"""The recipe of tiny.py, with a loss that is NaN at the steps it is told."""

import runpy
from pathlib import Path

import jax.numpy as jnp

from vlp_jax.core.types import Need, Term
from vlp_jax.objectives import OBJECTIVES

TINY = str(Path(__file__).with_name("tiny.py"))


class Poison:
    """0 * logit_scale, or NaN * logit_scale at `steps` (the first step is 1)."""

    needs = (Need("logit_scale"),)
    scope = "global"

    def __init__(self, steps: tuple[int, ...] = ()):
        self.steps = tuple(steps)

    def initial_state(self):
        return ()

    def __call__(self, outputs, step, state) -> Term:
        now = jnp.isin(step + 1, jnp.array(self.steps or (0,)))
        factor = jnp.where(now, jnp.nan, 0.0)
        return Term(factor * outputs[self.needs[0]], jnp.ones(()))


OBJECTIVES["poison"] = Poison


def get_config():
    config = runpy.run_path(TINY)["get_config"]()
    config.objectives.poison.weight = 1.0
    config.nonfinite.in_a_row = 3
    config.evaluation.every = 0
    return config

"""The plan that the tests of the loop start from, small enough to count by hand."""

import dataclasses

from vlp_jax.training.plan import Plan

PLAN = Plan(
    total_steps=12,
    last_step=12,
    rows={"pairs": 100},
    log_every=3,
    save_every=4,
    evaluate_every=6,
    max_bad_share=0.1,
    nonfinite_in_a_row=3,
    rollbacks=1,
    watchdog=0,
)


def plan(**changed) -> Plan:
    """That plan with some of its fields changed."""
    return dataclasses.replace(PLAN, **changed)

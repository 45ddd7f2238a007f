"""The numbers of a recipe: which of them make sense, and the plan that they are."""

from ml_collections import ConfigDict

from vlp_jax.checkpoint.storage import WEIGHTS
from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.training.plan import Plan


def check_settings(config: ConfigDict) -> None:
    """ConfigError for numbers that make no sense, before anything is opened."""
    if config.steps is None and config.epochs is None:
        raise ConfigError(
            "config.steps is not given; set --config.steps=NUMBER, or --config.epochs"
        )
    check_range("steps", config.steps, 1)
    check_range("seed", config.seed, 0, 2**32 - 1)
    check_range("data.threads", config.data.threads, 0)
    check_range("data.workers", config.data.workers, 0)
    check_range("data.max_bad_share", config.data.max_bad_share, 0, 1)
    check_range("accumulation", config.accumulation, 1)
    check_range("checkpoint.keep", config.checkpoint.keep, 1)
    check_range("checkpoint.keep_every", config.checkpoint.keep_every, 1)
    if config.checkpoint.keep_best is not None:
        evaluator = config.checkpoint.keep_best.split("/")[0]
        lookup(config.evaluation.evaluators, evaluator, "checkpoint.keep_best")
        every, saved = config.evaluation.every or 0, config.checkpoint.every
        if not every or every % saved:
            raise ConfigError(
                f"checkpoint.keep_best needs evaluations at steps that are saved: "
                f"evaluation.every is {every}, expected a multiple of checkpoint.every "
                f"= {saved}"
            )
    check_range("evaluation.every", config.evaluation.every, 0)
    check_range("evaluation.batch_size", config.evaluation.batch_size, 1)
    check_range("ema_decay", config.ema_decay, 0, 1)
    check_range("momentum_decay", config.momentum_decay, 0, 1)
    lookup(WEIGHTS, config.evaluation.weights, "evaluation.weights")
    if config.evaluation.weights == "ema" and config.ema_decay is None:
        raise ConfigError(
            "evaluation.weights is 'ema', but this run keeps no moving average; "
            "set --config.ema_decay=0.999, for example"
        )
    check_range("stop_after", config.stop_after, 1)


def make_plan(config: ConfigDict) -> Plan:
    """When things happen in a run of this config."""
    last = config.steps if config.stop_after is None else config.stop_after
    return Plan(
        total_steps=config.steps,
        last_step=min(config.steps, last),
        batch_size=config.batch_size,
        log_every=config.log_every,
        save_every=config.checkpoint.every,
        evaluate_every=config.evaluation.every or 0,
        max_bad_share=config.data.max_bad_share,
        nonfinite_in_a_row=config.nonfinite.in_a_row,
        rollbacks=config.nonfinite.rollbacks,
        watchdog=config.watchdog,
    )

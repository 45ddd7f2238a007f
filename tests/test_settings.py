"""Settings that make no sense are refused by name before anything is built."""

import pytest

from tests.recipes import pretraining
from vlp_jax import recipe, settings
from vlp_jax.core.errors import ConfigError


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": -1}, "seed is -1; expected 0 to 4294967295"),
        ({"steps": 0}, "steps is 0; expected at least 1"),
        ({"stop_after": 0}, "stop_after is 0; expected at least 1"),
        ({"stop_after": -5}, "stop_after is -5"),
        ({"data__threads": -1}, "data.threads is -1"),
        ({"data__max_bad_share": 1.5}, "data.max_bad_share is 1.5; expected 0 to 1"),
        ({"checkpoint__keep": 0}, "checkpoint.keep is 0"),
        ({"checkpoint__keep_every": 0}, "checkpoint.keep_every is 0"),
        ({"checkpoint__keep_best": "retrieval/x"}, "unknown checkpoint.keep_best 'ret"),
        ({"checkpoint__every": 0}, "checkpoint.every is 0"),
        ({"evaluation__every": -1}, "evaluation.every is -1"),
        ({"evaluation__batch_size": 0}, "evaluation.batch_size is 0"),
        ({"ema_decay": 2.0}, "ema_decay is 2.0; expected 0 to 1"),
        ({"evaluation__weights": "best"}, "unknown evaluation.weights 'best'"),
    ],
)
def test_a_plan_names_the_setting(changed, said):
    with pytest.raises(ConfigError, match=said):
        settings.check_settings(pretraining(**changed))
        settings.make_plan(pretraining(**changed))


def test_stop_after_changes_the_last_step_alone():
    assert settings.make_plan(pretraining()).last_step == 10
    plan = settings.make_plan(pretraining(stop_after=4))
    assert (plan.last_step, plan.total_steps) == (4, 10)
    assert settings.make_plan(pretraining(stop_after=99)).last_step == 10


def test_the_best_step_is_among_those_that_are_evaluated():
    chosen = pretraining()
    chosen.evaluation.evaluators.retrieval = recipe.evaluator("retrieval")
    chosen.checkpoint.update(keep_best="retrieval/recall", every=10)
    for every in (None, 0, 15):
        chosen.evaluation.every = every
        with pytest.raises(
            ConfigError, match="expected a multiple of checkpoint.every"
        ):
            settings.check_settings(chosen)
    chosen.evaluation.every = 20
    settings.check_settings(chosen)

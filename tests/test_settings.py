"""Settings that make no sense are refused by name before anything is built."""

import pytest

from vlp_jax import build, cli, recipe, settings, trained
from vlp_jax.checkpoint.lock import Lock
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.feed import steps_of
from vlp_jax.models.layers import Dense


def config(**changed):
    """A training recipe with dotted settings changed ('data__threads')."""
    chosen = recipe.pretraining()
    chosen.steps = 10
    for path, value in changed.items():
        *sections, key = path.split("__")
        place = chosen
        for section in sections:
            place = place[section]
        place[key] = value
    return chosen


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
        settings.check_settings(config(**changed))
        settings.make_plan(config(**changed))


def test_stop_after_changes_the_last_step_alone():
    assert settings.make_plan(config()).last_step == 10
    plan = settings.make_plan(config(stop_after=4))
    assert (plan.last_step, plan.total_steps) == (4, 10)
    assert settings.make_plan(config(stop_after=99)).last_step == 10


def test_the_best_step_is_among_those_that_are_evaluated():
    chosen = config()
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


def test_epochs_stand_in_for_steps():
    chosen = config(batch_size=100, epochs=2.5)
    assert steps_of(chosen, 1000) == 25  # in place of the recipe's own steps
    chosen.epochs = 0.01
    assert steps_of(chosen, 1000) == 1
    chosen.epochs = 0.0
    with pytest.raises(ConfigError, match="epochs is 0.0; expected a positive"):
        steps_of(chosen, 1000)
    assert steps_of(config(), 1000) == 10


@pytest.mark.parametrize("pair", [(5.0,), (2.0, 1.0), (0.0, 1.0, 2.0)])
def test_bounds_are_two_numbers_in_order(pair):
    chosen = config()
    chosen.bounds.logit_scale = pair
    with pytest.raises(ConfigError, match=r"bounds.logit_scale is .*\(low, high\)"):
        build.make_bounds(chosen)


def test_a_workdir_that_is_a_file(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with pytest.raises(ConfigError, match="is a file; name a folder"), Lock(file):
        pass
    with pytest.raises(ConfigError, match="--output=.*cannot be a folder"):
        cli.prepare_output(str(file))
    assert file.read_text() == "mine"


def test_digit_scenes_that_do_not_exist():
    with pytest.raises(ConfigError, match="has only .* different scenes"):
        DigitScenes("test", size=60_000, digit_counts=(2,))
    with pytest.raises(ConfigError, match="no digit_counts"):
        DigitScenes(digit_counts=())
    repeated = DigitScenes("test", size=40, digit_counts=(1, 1))
    assert repeated.digit_counts == (1,) and len(repeated) == 40


def test_evaluator_settings_keep_their_types():
    block = recipe.evaluator("retrieval")
    block.recall_at = (1, 5)
    with pytest.raises(TypeError):
        block.recall_at = 5
    assert block.get_type("limit") is int and block.get_type("templates") is object


def test_an_unknown_dtype_is_explained():
    import jax
    import jax.numpy as jnp

    with pytest.raises(ConfigError, match="unknown dtype 'bf16'; known: bfloat16"):
        Dense(4, dtype="bf16").init(jax.random.key(0), jnp.ones((2, 3)))


def test_the_resolved_config_has_every_default_and_builds_the_same():
    chosen = config(learning_rate__peak=1e-3, model__embedding_size=16)
    chosen.data.train.kind = "digit_scenes"
    chosen.model.image.size = "S/16"
    chosen.model.text.update(width=32, depth=1, heads=2)
    full = build.resolved(chosen)
    assert full.preprocessing.mean == (0.48145466, 0.4578275, 0.40821073)
    assert (full.preprocessing.image_size, full.preprocessing.resize) == (
        224,
        "shortest",
    )
    assert (full.optimizer.b2, full.learning_rate.decay) == (0.98, "cosine")
    assert (full.model.image.width, full.model.image.patch_size) == (384, 16)
    assert full.data.train.split == "train" and full.data.train.root is None
    assert full.data.crop.scale is None  # None: no crop at all
    assert chosen.preprocessing.mean is None  # the original is as it was

    class Words:
        vocab_size, length, eos_id = 300, 8, 3

    models = [
        build.make_model(c, build.make_preprocessing(c), Words) for c in (chosen, full)
    ]
    assert models[0] == models[1]


def test_a_checkpoint_trained_with_cudnn_is_looked_at_with_xla():
    chosen = config()
    chosen.model.image.update(size="B/16", attention="cudnn")
    chosen.model.text.size = "B"
    looked_at = trained.for_any_machine(build.resolved(chosen))
    assert looked_at.model.image.attention == looked_at.model.text.attention == "xla"
    assert looked_at.model.image.width == 768
    assert trained.for_any_machine(config()).model.image.attention is None

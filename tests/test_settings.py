"""Settings that make no sense are refused by name before anything is built."""

import jax
import pytest
from ml_collections import ConfigDict

from tests.recipes import pretraining
from vlp_jax import recipe, settings
from vlp_jax.core.errors import ConfigError

ASKING = {"questions__train__kind": "digit_scenes"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": -1}, "seed is -1; expected 0 to 4294967295"),
        ({"steps": 0}, "steps is 0; expected at least 1"),
        ({"stop_after": 0}, "stop_after is 0; expected at least 1"),
        ({"stop_after": -5}, "stop_after is -5"),
        ({"questions__batch_size": 0}, "questions.batch_size is 0"),
        ({"questions__answer_count": 0}, "questions.answer_count is 0"),
        ({**ASKING, "questions__length": 78}, "questions.length is 78; expected 1 to"),
        ({**ASKING, "questions__answer_length": 0}, "questions.answer_length is 0"),
        (
            {**ASKING, "data__text_lengths": (16,)},
            "data.text_lengths cuts captions of pairs, and this run reads only quest",
        ),
        (
            {"contrasts__train__kind": "digit_scenes", "data__text_lengths": (16,)},
            "this run reads only contrasts; leave it out",
        ),
        ({"contrasts__batch_size": 0}, "contrasts.batch_size is 0; expected at least"),
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


# ---- streams

PAIRS = {"data__train__kind": "digit_scenes"}
CONTRASTING = {"contrasts__train__kind": "digit_scenes"}


@pytest.mark.parametrize(
    ("changed", "sizes"),
    [
        ({}, {"pairs": 256}),  # and the feed says that data.train.kind is missing
        (PAIRS, {"pairs": 256}),
        (ASKING, {"questions": 256}),
        ({**PAIRS, **ASKING}, {"pairs": 256, "questions": 256}),
        (
            {**PAIRS, **ASKING, "questions__batch_size": 64},
            {"pairs": 256, "questions": 64},
        ),
        ({**PAIRS, "questions__batch_size": 64}, {"pairs": 256}),
        (CONTRASTING, {"contrasts": 256}),
        (
            {**PAIRS, **CONTRASTING, **ASKING, "contrasts__batch_size": 64},
            {"pairs": 256, "questions": 256, "contrasts": 64},
        ),
    ],
)
def test_the_sizes_of_streams(changed, sizes):
    config = pretraining(**changed)
    assert settings.stream_sizes(config) == settings.make_plan(config).rows == sizes


def test_a_mixture_alone_is_read():
    config = pretraining()
    config.questions.mixture.mine = recipe.mixed("digit_scenes")
    assert settings.stream_sizes(config) == {"questions": 256}
    config.data.mixture.mine = recipe.mixed("digit_scenes")
    assert list(settings.stream_sizes(config)) == ["pairs", "questions"]


def test_a_config_older_than_other_streams_reads_pairs():
    old = ConfigDict(pretraining(**PAIRS).to_dict())
    del old["questions"], old["contrasts"]
    assert settings.stream_sizes(old) == {"pairs": 256}
    assert settings.most_classes(pretraining(**PAIRS)) == 0


def test_how_many_answers_are_classes_before_they_are_counted(tmp_path):
    assert settings.most_classes(pretraining(**ASKING)) == 3129
    (tmp_path / "list.txt").write_text("yes\nno\n")
    given = {"questions__answers": str(tmp_path / "list.txt")}
    assert settings.most_classes(pretraining(**ASKING, **given)) == 2


def test_an_objective_needs_a_stream_that_is_read():
    sizes = {"pairs": 8}
    settings.check_streams({"contrastive": ["pairs"]}, sizes)
    with pytest.raises(ConfigError) as caught:
        settings.check_streams({"vqa": ["questions", "pairs"]}, sizes)
    assert str(caught.value) == (
        "objectives.vqa learns from questions, and this run reads only pairs; set "
        "--config.questions.train.kind, or --config.objectives.vqa.weight=0"
    )
    with pytest.raises(ConfigError, match="pairs; set --config.contrasts.train.kind"):
        settings.check_streams({"judging": ["contrasts"]}, sizes)
    with pytest.raises(ConfigError, match="only questions; set --config.data.train.k"):
        settings.check_streams({"contrastive": ["pairs"]}, {"questions": 8})


def test_batches_of_all_streams_are_split_evenly():
    config = pretraining(**PAIRS, **ASKING, questions__batch_size=12)
    mesh = jax.make_mesh((8, 1, 1), ("data", "fsdp", "tensor"))
    with pytest.raises(ConfigError, match="^questions.batch_size 12 .*example 16"):
        settings.check_sizes(config, mesh)
    config.contrasts.update(batch_size=20)
    config.contrasts.train.kind, config.questions.batch_size = "digit_scenes", 16
    with pytest.raises(ConfigError, match="^contrasts.batch_size 20 .*example 16"):
        settings.check_sizes(config, mesh)
    config.update({"batch_size": 4})
    with pytest.raises(ConfigError, match="^batch_size 4 .*for example 8"):
        settings.check_sizes(config, mesh)

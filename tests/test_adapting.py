"""Prompts and adapters of a config: what trains, what stays, what they begin as."""

import re

import jax
import numpy as np
import pytest

import vlp_jax
from tests.few_shot import (
    ADAPTED,
    CONTEXT,
    PICTURES,
    STRATEGIES,
    fresh,
    labelled,
    outputs,
)
from tests.recipes import pretraining
from vlp_jax import adapting, endpoints
from vlp_jax.core import trees
from vlp_jax.core.class_prompts import fill
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.data.sources.scene_words import NUMBERS
from vlp_jax.evaluation.zero_shot import class_weights
from vlp_jax.runs import TrainingRun
from vlp_jax.trained import load_checkpoint
from vlp_jax.training.state import variables_of

WIDTH = 32  # of both towers of tiny.py
ADDED = {  # parameters that train, where that can be counted by hand
    "head": WIDTH * 10 + 10,
    "coop": 2 * WIDTH,
    "own_context": 2 * 10 * WIDTH,
    "cocoop": 2 * WIDTH + (WIDTH * 2 + 2) + (2 * WIDTH + WIDTH),
    "vpt": 3 * WIDTH,
    "deep_vpt": 3 * WIDTH,
    "lora": 2 * (WIDTH * 2 + 2 * WIDTH),
}


def arrays(params) -> dict[str, np.ndarray]:
    return {path: np.asarray(x) for path, x in trees.flatten(params).items()}


LONG = ("full", "locked_tower", "last_block", "bias", "own_context", "vpt")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.long if n in LONG else ()) for n in STRATEGIES],
)
def test_what_is_frozen_stays_and_what_trains_moves(pretrained, tmp_path, name):
    config = labelled(pretrained, **STRATEGIES[name])
    patterns = config.trainable or ("",)
    run = TrainingRun(config, tmp_path)
    state = run.start()
    first, count = arrays(variables_of(state)["params"]), trees.count(state.params)
    last = arrays(variables_of(run.finish(state))["params"])
    assert first.keys() == last.keys()
    trains = {p for p in first if any(re.search(x, p) for x in patterns)}
    moved = {p for p in first if first[p].tobytes() != last[p].tobytes()}
    assert moved <= trains and len(moved) >= 0.6 * len(trains)
    trained = sum(first[path].size for path in trains)
    assert count == trained == ADDED.get(name, trained)
    assert (len(trains) == len(first)) == (name == "full")
    taken = trees.flatten(
        load_checkpoint(str(pretrained), 8, "model").predictor.variables
    )
    for path in first.keys() - trains:  # and it is the checkpoint's to begin with
        if f"params/{path}" in taken:
            np.testing.assert_array_equal(first[path], taken[f"params/{path}"])


@pytest.fixture(scope="module")
def plain(pretrained):
    return load_checkpoint(str(pretrained), 8, "model").predictor


@pytest.mark.parametrize("name", ["coop", "own_context", "cocoop"])
def test_prompts_begin_as_the_words_they_start_from(pretrained, plain, tmp_path, name):
    settings = STRATEGIES[name] | dict(prompts__start="a big")
    config = labelled(pretrained, **settings)
    run = TrainingRun(config, tmp_path)
    state = run.start()
    template = config.prompts.template
    words = iter(("a", "big"))
    in_words = re.sub(r"\[..\]", lambda _: next(words), template)
    prompts = run.tokenizer(fill(template, NUMBERS))[0]
    assert run.tokenizer.is_context(prompts).sum(axis=1).tolist() == [2] * 10
    expected = plain.classify(PICTURES, fill(in_words, NUMBERS))
    run.evaluate(state)  # makes the predictor
    variables = run.learner.adapters.merged(variables_of(state))
    found = run.predictor.with_variables(variables)
    scores = found.classify(PICTURES, fill(template, NUMBERS))
    if name == "cocoop":  # whose texts are encoded anew for every picture
        np.testing.assert_allclose(scores, expected, rtol=1e-6)
    else:
        np.testing.assert_array_equal(scores, expected)
    assert np.ptp(expected, axis=1).min() > 1e-3


def test_a_start_of_other_words_than_the_template_has(pretrained, tmp_path):
    coop = STRATEGIES["coop"]
    with pytest.raises(
        ConfigError, match=r"is 5 tokens of.*has 2 for a.*\[v1\] to \[v5"
    ):
        fresh(labelled(pretrained, **coop, prompts__start="a big red"), tmp_path)
    with pytest.raises(ConfigError, match="template 'no class' has no '{}'"):
        fresh(labelled(pretrained, prompts__template="no class"), tmp_path)
    with pytest.raises(ConfigError, match="does not fit into tokenizer.length=5"):
        fresh(labelled(pretrained, tokenizer__length=5), tmp_path)
    with pytest.raises(ConfigError, match="set --config.model.text.pool=first_eos"):
        fresh(labelled(pretrained, **coop, model__text__pool="largest_id"), tmp_path)


def test_adapters_are_merged_wherever_the_model_is_used(pretrained, adapted, tmp_path):
    workdir, run, state = adapted
    run.evaluate(state)
    merged = run.learner.adapters.merged(variables_of(state))
    expected = outputs(run.predictor.with_variables(merged))
    for found in (
        load_checkpoint(str(workdir), 8, "model").predictor,
        endpoints.load(f"vlp:{workdir}", 8).predictor,
    ):
        for one, other in zip(outputs(found), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    plain = load_checkpoint(str(pretrained), 8, "model").predictor
    assert np.abs(plain.encode_image(PICTURES) - expected[0]).max() > 1e-3


def test_a_resumed_run_with_adapters_ends_the_same(pretrained, adapted, tmp_path):
    _, run, state = adapted
    half = labelled(pretrained, **ADAPTED, stop_after=2)
    first = TrainingRun(half, tmp_path)
    first.finish(first.start())
    second = TrainingRun(labelled(pretrained, **ADAPTED), tmp_path)
    assert second.first_step == 2
    last = second.finish(second.start())
    for one, other in zip(*map(jax.tree.leaves, (state, last)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_words_that_a_model_has_not_learned(pretrained, adapted, plain):
    model = vlp_jax.load(str(adapted[0]), batch_size=8)
    for template in ("[v1] [v9] {}", "[c1] {}"):
        with pytest.raises(ConfigError, match=r"has not learned \[(v9|c1_0)\]"):
            model.classify(PICTURES, template=template)
    with pytest.raises(ConfigError, match=r"has not learned \[v9\]; use its own"):
        model.encode_text("[v9] one")
    with pytest.raises(ConfigError, match=r"has not learned \[v1\], \[v2\]"):
        plain.classify(PICTURES, fill(CONTEXT, NUMBERS))
    with pytest.raises(RunError, match=r"a template has learned words \(\[v1\]"):
        class_weights(plain, NUMBERS, (CONTEXT,))


@pytest.mark.parametrize(
    "settings, said",
    [
        (dict(lora__rank=2), "lora.rank and lora.alpha need the matrices"),
        (dict(prompts__start="a big"), "prompts.start is of learned words, and"),
        (dict(model__conditional_prompts=True), "model.conditional_prompts is of"),
        (dict(model__image__deep_prompts=True), "model.image.prompts is 0"),
        (
            dict(**STRATEGIES["head"], prompts__template=CONTEXT),
            "has learned words, which models of kind two_tower",
        ),
        (dict(class_names=tuple(range(10))), "has the class name 0; expected texts"),
        (dict(class_names=("a",) * 10), "has the class name 'a'; expected texts, none"),
    ],
)
def test_settings_that_would_have_no_effect(pretrained, tmp_path, settings, said):
    with pytest.raises(ConfigError, match=said):
        TrainingRun(labelled(pretrained, **settings), tmp_path)


def test_a_config_of_old_has_none():
    config = pretraining()
    with config.unlocked():
        for name in ("prompts", "lora", "share_encoder", "class_names"):
            del config[name]
    assert not adapting.has_adapters(config)
    assert not adapting.make_adapters(config, None)
    assert adapting.class_names_of(config) == adapting.context_of(config) == ()
    assert adapting.template_of(config) == "a photo of a {}"
    assert adapting.merged_config(config).to_dict() == config.to_dict()


def test_once_merged_nothing_is_apart():
    config = pretraining(class_names=("a", "b"), share_encoder=True)
    config.prompts.template = "[v1] [c1] {}"
    config.lora.update(patterns=("kernel$",), rank=2)
    words = ("[v1]", "[c1_0]", "[c1_1]")
    assert adapting.has_adapters(config) and adapting.context_of(config) == words
    merged = adapting.merged_config(config)
    assert not adapting.has_adapters(merged) and adapting.context_of(merged) == ()
    assert adapting.learned_words(merged) == words
    assert adapting.template_of(merged) == "[v1] [c1] {}"
    assert config.lora.rank == 2  # which is left as it was

"""Strategies of transfer: what trains, what stays, and what they start from."""

import re

import jax
import numpy as np
import pytest

import vlp_jax
from tests.few_shot import CONTEXT, STRATEGIES, labelled
from tests.recipes import tiny
from tests.saved_runs import saved
from vlp_jax import endpoints
from vlp_jax.core import trees
from vlp_jax.core.class_prompts import fill
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.data.sources.scene_words import NUMBERS
from vlp_jax.evaluation.zero_shot import class_weights
from vlp_jax.runs import TrainingRun
from vlp_jax.trained import load_checkpoint
from vlp_jax.training.state import variables_of

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3)).astype(np.uint8)
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


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A run of tiny.py, whose words stand for other things than at first."""
    workdir = tmp_path_factory.mktemp("pretrained")
    run, _ = saved(workdir, 5, tiny, tokenizer__length=16)
    run.store.close()
    return workdir


def arrays(params) -> dict[str, np.ndarray]:
    return {path: np.asarray(x) for path, x in trees.flatten(params).items()}


LONG = ("full", "locked_tower", "last_block", "bias", "own_context", "vpt")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.long if n in LONG else ()) for n in STRATEGIES],
)
def test_what_is_frozen_stays_and_what_trains_moves(before, tmp_path, name):
    config = labelled(before, **STRATEGIES[name], tokenizer__length=16)
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
    taken = trees.flatten(load_checkpoint(str(before), 8, "model").predictor.variables)
    for path in first.keys() - trains:  # and it is the checkpoint's to begin with
        if f"params/{path}" in taken:
            np.testing.assert_array_equal(first[path], taken[f"params/{path}"])


def fresh(config, workdir):
    """The state that a run begins with."""
    return TrainingRun(config, workdir).start()


@pytest.fixture(scope="module")
def plain(before):
    return load_checkpoint(str(before), 8, "model").predictor


@pytest.mark.parametrize("name", ["coop", "own_context", "cocoop"])
def test_prompts_begin_as_the_words_they_start_from(before, plain, tmp_path, name):
    settings = STRATEGIES[name] | dict(prompts__start="a big", tokenizer__length=16)
    config = labelled(before, **settings)
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


def test_a_start_of_other_words_than_the_template_has(before, tmp_path):
    coop = STRATEGIES["coop"] | dict(tokenizer__length=16)
    with pytest.raises(
        ConfigError, match=r"is 5 tokens of.*has 2 for a.*\[v1\] to \[v5"
    ):
        fresh(labelled(before, **coop, prompts__start="a big red"), tmp_path)
    with pytest.raises(ConfigError, match="template 'no class' has no '{}'"):
        fresh(labelled(before, prompts__template="no class"), tmp_path)
    with pytest.raises(ConfigError, match="does not fit into tokenizer.length=5"):
        fresh(labelled(before, tokenizer__length=5), tmp_path)
    with pytest.raises(ConfigError, match="set --config.model.text.pool=first_eos"):
        fresh(labelled(before, **coop, model__text__pool="largest_id"), tmp_path)


ADAPTED = STRATEGIES["lora"] | dict(
    prompts__template=CONTEXT,
    trainable=("^adapters/",),
    tokenizer__length=16,
    learning_rate__peak=0.1,
    ema_decay=0.9,
)


@pytest.fixture(scope="module")
def adapted(before, tmp_path_factory):
    """A finished run with LoRA and learned context, and its run."""
    workdir = tmp_path_factory.mktemp("adapted")
    run = TrainingRun(labelled(before, **ADAPTED), workdir)
    state = run.finish(run.start())
    return workdir, run, state


def outputs(predictor) -> list[np.ndarray]:
    prompts = fill(CONTEXT, NUMBERS)
    return [
        predictor.encode_image(PICTURES),
        predictor.encode_text(prompts),
        predictor.classify(PICTURES, prompts),
    ]


def test_adapters_are_merged_wherever_the_model_is_used(before, adapted, tmp_path):
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
    plain = load_checkpoint(str(before), 8, "model").predictor
    assert np.abs(plain.encode_image(PICTURES) - expected[0]).max() > 1e-5


@pytest.mark.parametrize("form", ["vlp", "hf"])
def test_merged_and_exported_it_is_the_same_model(adapted, tmp_path, form):
    """And a run that starts from it, or from the adapted run, starts there."""
    workdir, run, state = adapted
    model = endpoints.read(f"vlp:{workdir}")
    target = f"{form}:{tmp_path / 'exported'}"
    endpoints.write(target, model)
    expected = outputs(load_checkpoint(str(workdir), 8, "model").predictor)
    found = outputs(endpoints.load(target, 8).predictor)
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() < 1e-5 * np.abs(other).max()
    starts = [
        variables_of(fresh(labelled(start, tokenizer__length=16), tmp_path / name))
        for name, start in (("a", workdir), ("b", target))
    ]
    for one, other in zip(*map(jax.tree.leaves, starts), strict=True):
        np.testing.assert_array_equal(one, other)


def test_learned_context_goes_on_where_it_was(adapted, tmp_path):
    """In the same words; fewer of them are refused, others begin anew."""
    workdir, run, state = adapted
    settings = STRATEGIES["coop"] | dict(tokenizer__length=16)
    again = variables_of(fresh(labelled(workdir, **settings), tmp_path / "again"))
    learned = variables_of(state)["params"]["adapters"]["context"]
    np.testing.assert_array_equal(again["params"]["adapters"]["context"], learned)
    others = settings | dict(prompts__template="[v8] [v9] {}")
    more = variables_of(fresh(labelled(workdir, **others), tmp_path / "more"))["params"]
    words = again["params"]["text"]["token_embedding"].shape[0]
    assert more["text"]["token_embedding"].shape[0] == words + 2
    fewer = settings | dict(prompts__template="[v1] {}")
    with pytest.raises(ConfigError, match=r"knows some of the context tokens \[v1\]"):
        fresh(labelled(workdir, **fewer), tmp_path / "fewer")


def test_a_resumed_run_with_adapters_ends_the_same(before, adapted, tmp_path):
    _, run, state = adapted
    half = labelled(before, **ADAPTED, stop_after=2)
    first = TrainingRun(half, tmp_path)
    first.finish(first.start())
    second = TrainingRun(labelled(before, **ADAPTED), tmp_path)
    assert second.first_step == 2
    last = second.finish(second.start())
    for one, other in zip(*map(jax.tree.leaves, (state, last)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_classes_from_python(before, adapted, tmp_path):
    """With learned prompts, with labels of one's own, by a head, and of texts."""
    model = vlp_jax.load(str(adapted[0]), batch_size=2)
    found = model.classify(PICTURES)
    assert model.class_names == NUMBERS and found.shape == (5, 10)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    cosines = model.encode_image(PICTURES) @ model.encode_text(fill(CONTEXT, NUMBERS)).T
    logits = np.exp(model.logit_scale * cosines)
    expected = logits / logits.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert model.classify(PICTURES[0], ["one", "two"], "a {}").shape == (1, 2)
    with pytest.raises(ConfigError, match="was not trained to tell classes apart; giv"):
        vlp_jax.load(str(before)).classify(PICTURES)

    config = labelled(before, **STRATEGIES["head"], tokenizer__length=16)
    run = TrainingRun(config, tmp_path)
    run.finish(run.start())
    head = vlp_jax.load(str(tmp_path))
    assert head.class_names == NUMBERS and not head.can("embed")
    assert head.classify(PICTURES).shape == (5, 10)
    with pytest.raises(ConfigError, match="tells its own 10 classes apart .zero"):
        head.classify(PICTURES, ["one", "two"])
    with pytest.raises(ConfigError, match="cannot classify_text: it has no classes"):
        head.classify_text("a one")


def test_words_that_a_model_has_not_learned(before, adapted, plain):
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


def test_a_start_does_not_undo_what_was_learned(adapted, tmp_path):
    workdir, _, state = adapted
    settings = STRATEGIES["coop"] | dict(tokenizer__length=16, prompts__start="a big")
    again = variables_of(fresh(labelled(workdir, **settings), tmp_path))
    learned = variables_of(state)["params"]["adapters"]["context"]
    np.testing.assert_array_equal(again["params"]["adapters"]["context"], learned)


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
def test_settings_that_would_have_no_effect(before, tmp_path, settings, said):
    with pytest.raises(ConfigError, match=said):
        TrainingRun(labelled(before, **settings, tokenizer__length=16), tmp_path)


def test_a_head_of_other_classes_is_not_taken(before, tmp_path):
    settings = STRATEGIES["head"] | dict(tokenizer__length=16)
    run = TrainingRun(labelled(before, **settings), tmp_path / "first")
    run.finish(run.start())
    names = tuple("abcdefghij")
    other = labelled(tmp_path / "first", **settings, class_names=names)
    with pytest.raises(ConfigError, match=r"is of other classes \(zero, one"):
        fresh(other, tmp_path / "second")

"""A trained model from the path of its checkpoint, and what another run takes of it."""

import json
import re

import jax
import numpy as np
import pytest

from tests.recipes import pretraining, tiny
from tests.saved_runs import saved
from vlp_jax import defaults, trained
from vlp_jax.checkpoint.steps import step_folder
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.training.state import variables_of
from vlp_jax.transfer.initialise import InitialWeights, Match


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A run whose step 5 is saved: (its folder, the run, the state)."""
    workdir = tmp_path_factory.mktemp("before") / "run"
    run, state = saved(workdir, 5, model__image__size="S/12", name="mine")
    run.store.close()
    return workdir, run, state


def test_a_config_comes_with_the_checkpoint(before):
    workdir, run, _ = before
    expected = json.loads(defaults.resolved(run.config).to_json_best_effort())
    expected["tokenizer"]["canonicalise"] = run.tokenizer.canonicalise
    for path in (workdir, step_folder(workdir, 5)):
        assert trained.checkpoint_config(path).to_dict() == expected
    with pytest.raises(ConfigError, match="no checkpoint at .*elsewhere"):
        trained.checkpoint_config(workdir / "elsewhere")


def test_the_tokenizer_comes_with_the_checkpoint(before):
    workdir, run, _ = before
    config = tiny(tokenizer__length=9)
    found = trained.saved_tokenizer(step_folder(workdir, 5), config)
    assert (found.vocab_size, found.length, found.eos_id) == (
        300,
        9,
        run.tokenizer.eos_id,
    )
    for mine, theirs in zip(found(["a big"]), run.tokenizer(["a big"]), strict=True):
        np.testing.assert_array_equal(mine, theirs[:, :9])


@pytest.mark.parametrize("weights", ["model", "ema"])
def test_a_checkpoint_is_a_model_that_predicts(before, weights):
    workdir, run, state = before
    found = trained.load_checkpoint(str(workdir), batch_size=4, weights=weights)
    assert (found.path, found.step) == (step_folder(workdir, 5), 5)
    assert found.config.name == "mine" and found.parameters == run.parameters(state)
    expected = trees.flatten(variables_of(state, weights))
    loaded = trees.flatten(found.predictor.variables)
    assert loaded.keys() == expected.keys()
    for path, leaf in loaded.items():
        np.testing.assert_array_equal(leaf, expected[path], err_msg=path)
        assert len(leaf.sharding.device_set) == 8 and leaf.is_fully_replicated
    assert found.predictor.batch_size == 8  # the devices share it


@pytest.mark.long
def test_another_step_uses_what_is_compiled(before, tmp_path):
    workdir, run, state = before
    loaded = trained.load_checkpoint(str(workdir), 4, "model")
    picture = np.zeros((2, 24, 24, 3), np.uint8)
    first = loaded.predictor.encode_image(picture)
    step = str(step_folder(workdir, 5))
    found = trained.load_another(loaded, step, "ema")
    assert found.predictor._image is loaded.predictor._image and found.step == 5
    compiled = found.predictor._image._cache_size()
    assert not np.array_equal(found.predictor.encode_image(picture), first)
    assert found.predictor._image._cache_size() == compiled
    fresh = trained.load_checkpoint(step, 4, "ema").predictor.encode_image(picture)
    np.testing.assert_array_equal(found.predictor.encode_image(picture), fresh)
    again = trained.load_another(found, step, "model")
    np.testing.assert_array_equal(again.predictor.encode_image(picture), first)

    other, _ = saved(tmp_path, 7, model__image__width=48)
    other.store.close()
    changed = trained.load_another(loaded, str(step_folder(tmp_path, 7)), "model")
    assert changed.step == 7 and changed.config.model.image.width == 48


def test_an_average_that_was_not_kept(before, tmp_path):
    workdir, run, _ = before
    with pytest.raises(ConfigError, match="unknown weights 'emma'.*did you mean 'ema'"):
        trained.load_checkpoint(str(workdir), 4, "emma")
    run, _ = saved(tmp_path, 5, ema_decay=None)
    run.store.close()
    with pytest.raises(ConfigError, match="5 keeps no moving average; train with"):
        trained.load_checkpoint(str(tmp_path), 4, "ema")


def test_a_checkpoint_trained_with_cudnn_is_looked_at_with_xla():
    chosen = pretraining()
    chosen.model.image.update(size="B/16", attention="cudnn")
    chosen.model.text.size = "B"
    chosen.model.fusion.update(kind="bert", attention="cudnn")
    looked_at = trained.for_any_machine(defaults.resolved(chosen))
    assert looked_at.model.image.attention == looked_at.model.text.attention == "xla"
    assert looked_at.model.fusion.attention == "xla"
    assert looked_at.model.image.width == 768
    assert trained.for_any_machine(pretraining()).model.image.attention is None


# ---- what a run takes from it


def described(capsys, initial, config, **lists) -> list[str]:
    """The lines that say what is taken, one blank after the other made one."""
    empty = {name: [] for name in ("loaded", "missing", "unexpected", "wrong_shape")}
    found = Match(**{"resized": {}, **empty, **lists})
    there = trained.checkpoint_config(initial.folder)
    trained.describe_initial(initial, found, defaults.resolved(config), there)
    return [
        re.sub(r"\s+", " ", x).strip() for x in capsys.readouterr().out.splitlines()
    ]


def test_what_is_taken_is_said(before, capsys):
    workdir, _, _ = before
    config = tiny(model__image__activation="gelu", model__image__size="S/12")
    config.model.text.heads = 4
    config.preprocessing.mean = (0.5, 0.5, 0.5)
    image = InitialWeights(str(workdir), weights="ema")
    assert described(
        capsys,
        image,
        config,
        loaded=["image/class_token", "image/encoder/bias"],
        resized={"image/position_embedding": "[5, 32] -> [10, 32]"},
        missing=["logit_bias"],
        unexpected=["text/a", "text/b"],
    ) == [
        f"initial moving average of {workdir}/checkpoints/5",
        "taken 3 arrays of image",
        "resized image/position_embedding [5, 32] -> [10, 32]",
        "left 1 missing there (they keep their initial values): logit_bias; "
        "2 unexpected (not used): text/a, text/b",
        # Not model.text.heads: nothing of that tower is taken.
        "differs model.image.activation: quick_gelu there, gelu here",
        "differs preprocessing.mean: [0.48145466, 0.4578275, 0.40821073] there, "
        "[0.5, 0.5, 0.5] here",
    ]


def test_with_the_words_their_tokenizer_is_taken(before, capsys):
    workdir, _, _ = before
    config = tiny(model__text__heads=4, model__text__remat="full", seed=3)
    initial = InitialWeights(str(workdir))
    lines = described(capsys, initial, config, loaded=["text/token_embedding"])
    assert lines == [
        f"initial {workdir}/checkpoints/5",
        "taken 1 arrays of text",
        "text with the checkpoint's tokenizer, to which the ids belong",
        "differs model.text.heads: 2 there, 4 here",
    ]
    assert jax.device_count() == 8

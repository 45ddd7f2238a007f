"""What a fresh run takes from another model, in whatever form that is."""

import jax
import numpy as np
import pytest

from tests.few_shot import STRATEGIES, fresh, labelled, outputs
from vlp_jax import endpoints
from vlp_jax.core.errors import ConfigError
from vlp_jax.runs import TrainingRun
from vlp_jax.starting import Start
from vlp_jax.trained import load_checkpoint
from vlp_jax.training.state import variables_of
from vlp_jax.transfer.initialise import InitialWeights


@pytest.mark.parametrize("form", ["vlp", "hf", "open_clip"])
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
        variables_of(fresh(labelled(start), tmp_path / name))
        for name, start in (("a", workdir), ("b", target))
    ]
    for one, other in zip(*map(jax.tree.leaves, starts), strict=True):
        np.testing.assert_array_equal(one, other)


def test_learned_context_goes_on_where_it_was(adapted, tmp_path):
    """In the same words; fewer of them are refused, others begin anew."""
    workdir, run, state = adapted
    settings = STRATEGIES["coop"]
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


def test_a_start_does_not_undo_what_was_learned(adapted, tmp_path):
    workdir, _, state = adapted
    settings = STRATEGIES["coop"] | dict(prompts__start="a big")
    again = variables_of(fresh(labelled(workdir, **settings), tmp_path))
    learned = variables_of(state)["params"]["adapters"]["context"]
    np.testing.assert_array_equal(again["params"]["adapters"]["context"], learned)


def test_a_head_of_other_classes_is_not_taken(pretrained, tmp_path):
    settings = STRATEGIES["head"]
    run = TrainingRun(labelled(pretrained, **settings), tmp_path / "first")
    run.finish(run.start())
    names = tuple("abcdefghij")
    other = labelled(tmp_path / "first", **settings, class_names=names)
    with pytest.raises(ConfigError, match=r"is of other classes \(zero, one"):
        fresh(other, tmp_path / "second")


def test_nothing_is_read_of_what_is_not_asked_for(tmp_path):
    """A recipe can be built where its checkpoint is not there yet."""
    nowhere = str(tmp_path / "nowhere")
    start = Start(InitialWeights(nowhere, parts=("^image",)))
    config = labelled(nowhere)
    assert start.tokenizer(config) is None and start.answers(config) == ()
    with pytest.raises(ConfigError, match="no checkpoint at .*nowhere"):
        Start(InitialWeights(nowhere)).tokenizer(config)


@pytest.mark.parametrize(
    "kind, given", [("hf", {}), ("big_vision", {"tokenizer": "T"})]
)
def test_a_format_without_a_tokenizer_gets_that_of_the_run(monkeypatch, kind, given):
    asked = []
    monkeypatch.setattr(endpoints, "read", lambda *a, **k: asked.append((a, k)))
    assert Start(InitialWeights(f"{kind}:DIR"), tokenizer="T").model is None
    assert asked == [((f"{kind}:DIR", "model"), given)]

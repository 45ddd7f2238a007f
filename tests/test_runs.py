"""A run from its config and its folder: how it begins, saves, goes on and goes back.

Whole runs are in end_to_end/.
"""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tests.learns_questions import Agreement, asking
from tests.recipes import tiny
from tests.saved_runs import begun, saved
from vlp_jax import build, objectives, streams
from vlp_jax.checkpoint import description
from vlp_jax.checkpoint.steps import step_folder
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Report
from vlp_jax.data.questions import count_answers
from vlp_jax.runs import TrainingRun
from vlp_jax.starting import Start
from vlp_jax.trained import ANSWER_HEAD, load_checkpoint, saved_answers
from vlp_jax.training.state import variables_of


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A run whose step 5 is saved: (its folder, the run, the state)."""
    workdir = tmp_path_factory.mktemp("before") / "run"
    run, state = saved(workdir, 5)
    yield workdir, run, state
    run.store.close()


def assert_same(one, other) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def progress_of(workdir, step: int) -> dict:
    return description.read_json(step_folder(workdir, step), "progress.json")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": None}, "steps is not given"),
        ({"batch_size": 12}, "batch_size 12 .* 8 devices.* for example 16"),
        ({"accumulation": 3}, "batch_size 16"),
        ({"mesh__fsdp": 3}, "does not fill 8 devices"),
        ({"profile__first_step": 41}, "profile"),
        ({"data__train__kind": None}, "data.train.kind is not given"),
        ({"evaluation__evaluators__retrieval__kind": "x"}, "evaluators.retrieval.kind"),
        (
            {
                "objectives__info_nce__weight": 1.0,
                "objectives__info_nce__negatives": 16,
            },
            "negatives is 16; expected 1 to 15",
        ),
        ({"data__text_lengths": (25,)}, "data.text_lengths has 25"),
        ({"initialise__checkpoint": "gone"}, "no checkpoint at .*gone"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(tmp_path, settings, said):
    with pytest.raises(ConfigError, match=said):
        TrainingRun(tiny(**settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_fresh_run_begins_at_step_0_and_writes_nothing(tmp_path):
    run, state = begun(tmp_path / "run")
    assert (run.first_step, int(state.step), run.changes) == (0, 0, [])
    assert run.tokenizer.vocab_size == 300 and run.plan.last_step == 40
    assert list(run.evaluators) == ["retrieval"] and run.progress.samples == 0
    leaves = jax.tree.leaves(state)
    whole = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    assert run.bytes_per_device(state) == (whole, whole)  # all devices hold all of it
    assert run.parameters(state) == sum(x.size for x in jax.tree.leaves(state.params))
    assert not (tmp_path / "run").exists()


def test_epochs_become_steps(tmp_path):
    run = TrainingRun(tiny(epochs=2.0), tmp_path)
    assert run.config.steps == run.plan.last_step == 2 * 512 // 16


def test_what_lies_beside_the_weights(before):
    workdir, run, _ = before
    files = description.read_folder(step_folder(workdir, 5) / description.FOLDER)
    assert files.keys() >= {"config.json", "data.json", "tokenizer/tokenizer.json"}
    assert description.SCORES not in files  # it was not evaluated
    config = json.loads(files["config.json"])
    assert config["model"]["image"]["mlp_ratio"] == 4.0  # defaults are written out
    assert config["tokenizer"]["canonicalise"] == run.tokenizer.canonicalise
    assert json.loads(files["data.json"])["samples"] == 512
    found = progress_of(workdir, 5)
    assert (found["step"], found["samples"], found["bad"]) == (
        5,
        80,
        {"image_empty": 3},
    )


def test_a_run_goes_on_from_its_newest_checkpoint(before):
    workdir, run, state = before
    again, found = begun(workdir, log_every=7)
    assert (again.first_step, again.changes) == (5, ["log_every: 3 -> 7"])
    assert_same(found, state)
    assert again.progress.to_dict() | {"step": 5} == progress_of(workdir, 5)
    text = ["a big red three"]
    assert_same(again.tokenizer(text), run.tokenizer(text))
    with pytest.raises(ConfigError, match="begun with other settings .seed: 0 -> 1"):
        begun(workdir, seed=1)


def test_another_run_may_be_accepted(before):
    workdir, _, state = before
    config = tiny(learning_rate__peak=0.5)
    again = TrainingRun(config, workdir, accept_changes=True)
    assert_same(again.start(), state)
    assert again.changes == ["learning_rate.peak: 0.001 -> 0.5"]


def test_batches_go_on_where_the_steps_do(before):
    workdir, run, _ = before
    again, _ = begun(workdir)
    first, later = run.batches(), again.batches()
    try:
        for _ in range(5):
            next(first)
        assert_same(next(first).arrays, next(later).arrays)
    finally:
        first.close()
        later.close()


def test_going_back_takes_the_weights_but_not_the_step(before):
    workdir, run, state = before
    found = run.roll_back(5, 9)
    assert int(found.step) == 9 and found.step.sharding == state.step.sharding
    assert_same(found.replace(step=state.step), state)
    fresh = run.roll_back(0, 4)
    assert int(fresh.step) == 4
    for path, leaf in trees.flatten(fresh.params).items():
        later = trees.flatten(state.params)[path]
        np.testing.assert_allclose(later, leaf + 1, rtol=1e-6, err_msg=path)


# ---- questions


@pytest.fixture
def agreement(monkeypatch):
    monkeypatch.setitem(objectives.OBJECTIVES, "agreement", Agreement)


def test_the_answers_of_a_run_are_counted_once(tmp_path, agreement, monkeypatch):
    counted = []
    monkeypatch.setattr(streams, "count_answers", counting(counted))
    run, state = saved(tmp_path, 5, recipe=asking)
    run.store.close()
    assert len(run.answers) == 22 and counted == ["digit_scenes/train"]
    assert run.learner.objective.objectives["agreement"].checked == (8, 200)
    files = description.read_folder(step_folder(tmp_path, 5) / description.FOLDER)
    assert json.loads(files["answers.json"]) == list(run.answers)
    again, _ = begun(tmp_path, recipe=asking)
    assert again.answers == run.answers and len(counted) == 1
    folder = step_folder(tmp_path, 5)
    assert saved_answers(folder, again.config) == run.answers
    assert saved_answers(folder, tiny()) == ()
    loaded = load_checkpoint(str(tmp_path), 8, "model")
    assert loaded.step == 5 and loaded.predictor.answers == run.answers
    with pytest.raises(ConfigError, match="questions.answer_count: 3129 -> 5"):
        begun(tmp_path, recipe=asking, questions__answer_count=5)
    with pytest.raises(ConfigError, match=r"questions.train.size.*1 changed: quest"):
        begun(tmp_path, recipe=asking, questions__train__size=100)


@pytest.mark.parametrize("comes", [True, False])
def test_classes_come_with_the_head_that_tells_them_apart(
    tmp_path, agreement, monkeypatch, comes
):
    folder = tmp_path / "step"
    (folder / "description").mkdir(parents=True)
    (folder / "description" / "answers.json").write_text('["no", "yes"]')
    brings = {ANSWER_HEAD: comes}.get
    initial = SimpleNamespace(
        asks=lambda name: True, brings=lambda name: brings(name, False), folder=folder
    )
    monkeypatch.setattr(Start, "model", None)
    monkeypatch.setattr(Start, "weights", initial)
    monkeypatch.setattr(build, "make_initial_weights", lambda config: initial)
    run = TrainingRun(asking(), tmp_path / "run")
    assert len(run.answers) == (2 if comes else 22)


def counting(counted: list):
    """count_answers that says of which source."""

    def count(source):
        counted.append(source.name)
        return count_answers(source)

    return count


def test_a_run_without_questions_has_no_answers(before):
    workdir, run, _ = before
    assert run.answers == ()
    assert not (step_folder(workdir, 5) / "description" / "answers.json").exists()


def test_an_objective_whose_stream_is_not_read(tmp_path, agreement):
    config = asking()
    config.questions.train.kind = None
    with pytest.raises(ConfigError, match="objectives.agreement learns from questions"):
        TrainingRun(config, tmp_path)


def test_only_captions_are_cut(tmp_path, agreement):
    config = asking(data__text_lengths=(4, 16))
    run = TrainingRun(config, tmp_path)
    run.store = SimpleNamespace(check=lambda: None)
    mask = np.arange(24) < 10
    texts = {"text_tokens": np.zeros((8, 24)), "text_mask": np.tile(mask, (8, 1))}
    with jax.set_mesh(run.mesh):
        found = run._place({"pairs": texts, "questions": texts})
    assert found["pairs"]["text_mask"].shape == (8, 16)
    assert found["questions"]["text_mask"].shape == (8, 24)


# ---- evaluation


class Fixed:
    """An evaluator that finds a scale in the model, and something that is no number."""

    def run(self, predictor) -> Report:
        scale = float(predictor.variables["params"]["logit_scale"])
        return Report("task", "data", {"scale": scale, "nothing": float("nan")})


@pytest.mark.parametrize("weights", ["model", "ema"])
def test_an_evaluation_is_kept_with_its_step(tmp_path, weights, capsys):
    run, state = saved(tmp_path, 5, evaluation__weights=weights)
    run.config.checkpoint.keep_best = "mine/recall"
    run.evaluators = {"mine": Fixed()}
    state = state.replace(step=state.step + 1)
    row = run.evaluate(state)
    scale = variables_of(state, weights)["params"]["logit_scale"]
    assert row == {"mine/scale": pytest.approx(float(scale)), "mine/nothing": None}
    assert "warning: no metric mine/recall to keep the best" in capsys.readouterr().out
    for step in (6, 7):  # the second was not evaluated
        run.save(step, state, run.progress)
    run.store.close()
    assert description.read_json(step_folder(tmp_path, 6), description.SCORES) == row
    names = {path.name for path in (step_folder(tmp_path, 7) / "description").iterdir()}
    assert "progress.json" in names and description.SCORES not in names

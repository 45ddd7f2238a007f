"""What an evaluation leaves in its folder, on one device and on eight."""

import json

import jax
import pytest

from tests.saved_runs import saved
from vlp_jax import endpoints, recipe, trained
from vlp_jax.checkpoint.steps import step_folder
from vlp_jax.core.errors import ConfigError
from vlp_jax.evaluations import Evaluation, step_rows
from vlp_jax.models.predictor import ModelPredictor
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.training.state import variables_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose steps 5 and 7 are saved: (its folder, the run, the state)."""
    workdir = tmp_path_factory.mktemp("evaluated") / "run"
    made, state = saved(workdir, 5, name="mine")
    made.store.close()
    made, state = saved(workdir, 7, name="mine")
    made.store.close()
    return workdir, made, state


def settings():
    """27 pictures: no batch of 16 or 32 divides them."""
    config = recipe.evaluation()
    config.batch_size = 16
    data = dict(split="test", size=27, canvas=24)
    config.evaluators.pairs = recipe.evaluator(
        "retrieval", recipe.source("digit_scenes", **data), gallery=2
    )
    config.evaluators.digits = recipe.evaluator(
        "zero_shot", recipe.source("digit_scenes", digit_counts=(1,), **data)
    )
    return config


def metrics_in(folder) -> dict:
    found = (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))
    return {result["task"]: result["metrics"] for result in found}


def test_results_history_and_page(run, tmp_path, capsys):
    evaluation = Evaluation(settings(), str(tmp_path))
    loaded = trained.load_checkpoint(str(run[0]), 16, "model")
    evaluation.run(loaded)
    first = metrics_in(tmp_path)
    assert set(first) == {"zeroshot_classification", "zeroshot_retrieval"}
    assert [(x["step"], x["evaluator"]) for x in evaluation.history()] == [
        (7, "digits"),
        (7, "pairs"),
    ]
    older = str(step_folder(run[0], 5))
    evaluation.run(trained.load_another(loaded, older, "model"))
    assert len(evaluation.history()) == 4
    assert (
        json.loads(
            (tmp_path / "digit_scenes-test_zeroshot_retrieval.json").read_text()
        )["pretrained"]
        == older
    )
    page = evaluation.page.read_text()
    assert "mine, step 5" in page and "pairs/image_retrieval_recall@1" in page
    assert "vlp_jax.evaluate" in capsys.readouterr().out


def test_one_device_and_eight_find_the_same_digits(run, tmp_path, capsys):
    """The last batch is ragged on both, and the tables are the same word for word."""
    workdir, made, state = run
    loaded = trained.load_checkpoint(str(workdir), 16, "model")
    variables = jax.device_get(variables_of(state, "ema"))  # as they were at first
    printed, found = [], []
    for count in (1, 8):
        mesh = MeshSpec().make(jax.devices()[:count])
        predictor = ModelPredictor(
            made.learner.model, variables, made.preprocessing, made.tokenizer, mesh, 16
        )
        output = tmp_path / str(count)
        capsys.readouterr()
        chosen = loaded.__class__(
            loaded.path, 7, loaded.config, predictor, loaded.parameters
        )
        Evaluation(settings(), str(output)).run(chosen)
        printed.append(capsys.readouterr().out.replace(str(output), "OUT"))
        found.append(metrics_in(output))
    assert found[0] == found[1] and printed[0] == printed[1]
    assert "recall@10" in printed[0]


def test_a_foreign_model_finds_what_ours_does(run, tmp_path):
    """The export of a run, read where it is; its page shows no other's training."""
    workdir = tmp_path / "run"
    made, _ = saved(workdir, 7, name="mine", model__text__pool="first_eos")
    made.store.close()
    (workdir / "metrics.jsonl").write_text('{"step": 1, "loss": 2}\n' * 2)
    average = endpoints.read(str(workdir), "ema")  # as the weights were at first
    export = endpoints.write(f"hf:{workdir / 'exports' / 'hf'}", average)
    found, pages = [], []
    for checkpoint, weights in ((str(workdir), "ema"), (f"hf:{export}", "model")):
        output = tmp_path / weights
        evaluation = Evaluation(settings(), str(output))
        evaluation.run(endpoints.load(checkpoint, 16, weights))
        found.append(metrics_in(output))
        pages.append(evaluation.page.read_text())
    assert found[0] == found[1] and len(found[0]) == 2
    assert ["<polyline" in page for page in pages] == [True, False]
    assert evaluation.history()[0]["pretrained"] == f"hf:{export}"
    assert f"hf:{export}" in pages[1]


def test_other_folders_stand_beside_it(run, tmp_path):
    loaded = trained.load_checkpoint(str(run[0]), 16, "model")
    config = settings()
    del config.evaluators["digits"]
    Evaluation(config, str(tmp_path / "a")).run(loaded)
    evaluation = Evaluation(config, str(tmp_path / "b"), (str(tmp_path / "a"),))
    evaluation.run(loaded)
    page = evaluation.page.read_text()
    headings = '<th class="value">b</th><th class="value">a</th>'
    assert "<h2>Comparison</h2>" in page and headings in page
    with pytest.raises(ConfigError, match="no results in"):
        Evaluation(config, str(tmp_path / "c"), (str(tmp_path / "gone"),))
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        Evaluation(recipe.evaluation(), str(tmp_path / "c"))


def test_curves_need_more_steps_than_one():
    one = {"step": 5, "evaluator": "a", "metrics": {"acc1": 0.5}}
    assert step_rows([one]) == []
    lines = [one, {"step": 3, "evaluator": "a", "error": "x"}, one | {"metrics": {}}]
    again = one | {"metrics": {"acc1": 0.75}}
    assert step_rows([*lines, again]) == [{"step": 3}, {"step": 5, "a/acc1": 0.75}]

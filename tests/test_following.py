"""Following a run: every kept step once, whatever is deleted, damaged or interrupted.

The run is folders named by their steps; loading and evaluators are played.
"""

import json
import shutil
from types import SimpleNamespace

import pytest
from ml_collections import ConfigDict

from vlp_jax import evaluations, following, recipe, trained
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.types import Report

LAST = 20


class Played:
    """An evaluator that finds the step, or raises what it is told to."""

    def __init__(self, name: str):
        self.name, self.ran, self.fails = name, [], {}
        self.source = range(3)

    def run(self, predictor):
        self.ran.append(predictor)
        if predictor in self.fails:
            raise self.fails[predictor]
        return Report("task", self.name, {"acc1": predictor / 100})


class World:
    """A run's folder, what happens in it while the follower sleeps, and evaluators."""

    def __init__(self, folder, monkeypatch):
        self.workdir, self.output = folder / "run", folder / "out"
        self.evaluators = {name: Played(name) for name in ("one", "two")}
        self.events, self.loads, self.broken = [], [], {}
        self.config = ConfigDict(
            {"name": "mine", "steps": LAST, "stop_after": None, "evaluation": {}}
        )
        self.config.evaluation = recipe.evaluation()
        for name in self.evaluators:
            self.config.evaluation.evaluators[name] = recipe.evaluator("retrieval")
        monkeypatch.setattr(following.time, "sleep", self.sleep)
        monkeypatch.setattr(trained, "checkpoint_config", lambda path: self.config)
        monkeypatch.setattr(
            trained, "load_checkpoint", lambda path, *_: self.load(path)
        )
        monkeypatch.setattr(
            trained, "load_another", lambda loaded, path, _: self.load(path)
        )
        monkeypatch.setattr(
            evaluations.build, "make_evaluators", lambda config: self.evaluators
        )

    def save(self, *names) -> None:
        for name in names:
            (self.workdir / "checkpoints" / str(name)).mkdir(parents=True)

    def delete(self, step: int) -> None:
        shutil.rmtree(self.workdir / "checkpoints" / str(step))

    def sleep(self, seconds: float) -> None:
        assert seconds == following.POLL and self.events, "it waits for ever"
        self.events.pop(0)()

    def load(self, path: str, *_):
        step = int(path.rpartition("/")[2])
        self.loads.append(step)
        assert len(self.loads) < 20, "it repeats itself"
        self.broken.get(step, lambda: None)()
        path = self.workdir / "checkpoints" / str(step)
        return SimpleNamespace(
            path=path,
            workdir=self.workdir,
            step=step,
            config=self.config,
            predictor=step,
            parameters=1,
        )

    def follow(self):
        follower = following.Follower(str(self.workdir), None, str(self.output))
        return follower.run()

    def rows(self) -> list[tuple[int, str]]:
        """What the results on disk have, in their order."""
        lines = (self.output / "results.jsonl").read_text().splitlines()
        return [(row["step"], row["evaluator"]) for row in map(json.loads, lines)]


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


def both(*steps: int) -> list[tuple[int, str]]:
    return [(step, name) for step in steps for name in ("one", "two")]


def test_steps_are_evaluated_as_they_come(world, capsys):
    """The run begins later than its follower; what is half written is no step."""
    world.events = [
        lambda: world.save("5.saving", "5.saving-tmp"),
        lambda: world.save(5, 10, "3.damaged"),
        lambda: world.save(15),
        lambda: world.save(20, "25.saving"),
    ]
    evaluation = world.follow()
    assert world.rows() == both(5, 10, 15, 20) and world.events == []
    assert [played.ran for played in world.evaluators.values()] == [[5, 10, 15, 20]] * 2
    found = json.loads((world.output / "one_task.json").read_text())
    assert found["metrics"] == {"acc1": 0.2} and found["pretrained"].endswith("/20")
    page = evaluation.page.read_text()
    assert "one/acc1" in page and "mine, step 20" in page
    assert capsys.readouterr().out.count("waiting   for the next step") == 3


def test_a_restart_repeats_none(world):
    world.save(5, 20)
    world.follow()
    loads = list(world.loads)
    world.follow()
    assert world.rows() == both(5, 20) and world.loads == loads == [5, 20]


def test_other_settings_are_another_evaluation(world):
    world.config.steps = 5
    world.save(5)
    world.follow()
    world.config.evaluation.evaluators.two.limit = 10
    world.follow()
    world.config.evaluation.weights = "ema"
    world.follow()
    assert world.rows() == [*both(5), (5, "two"), *both(5)]


def test_another_run_is_another_evaluation(world):
    """In another folder, or trained anew in the same one: its files are others."""
    world.save(5, 20)
    world.follow()
    world.workdir = world.workdir.with_name("other")
    world.save(5, 20)
    world.follow()
    assert world.rows() == both(5, 20) * 2
    found = json.loads((world.output / "one_task.json").read_text())
    assert found["pretrained"] == str(world.workdir / "checkpoints" / "20")
    for content in ("first", "second", "second"):
        path = world.workdir / "checkpoints" / "20" / "manifest.json"
        path.write_text(content)
        world.follow()
    assert world.rows() == both(5, 20) * 2 + both(20) * 2


def test_files_hold_no_result_of_other_weights(world):
    """Where an evaluator fails on a run, what it found for another is left out."""
    world.save(20)
    world.follow()
    world.workdir = world.workdir.with_name("other")
    world.save(20)
    world.evaluators["two"].fails[20] = RunError("embeddings hold NaN")
    (world.output / "two_task.json").unlink()
    world.follow()
    assert world.rows() == both(20) * 2
    assert not (world.output / "two_task.json").exists()


def test_a_run_whose_only_step_is_damaged_is_waited_for(world, monkeypatch):
    def damaged(path):
        raise RunError("no checkpoint is intact")

    def repair():
        world.save(20)
        monkeypatch.setattr(trained, "checkpoint_config", lambda path: world.config)

    monkeypatch.setattr(trained, "checkpoint_config", damaged)
    world.save(5)
    world.events = [lambda: None, repair]
    world.follow()
    assert world.rows() == both(5, 20)


def test_what_was_interrupted_goes_on_with_the_next_evaluator(world):
    world.save(5, 20)
    world.evaluators["two"].fails[5] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        world.follow()
    assert world.rows() == [(5, "one")]
    world.evaluators["two"].fails.clear()
    world.follow()
    assert world.rows() == both(5, 20)
    assert world.evaluators["one"].ran == [5, 20]


def test_the_files_of_the_newest_step_are_whole_after_an_interruption(world):
    world.config.steps = 5
    world.save(5)
    world.evaluators["two"].fails[5] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        world.follow()
    world.evaluators["two"].fails.clear()
    world.follow()
    assert {path.name for path in world.output.glob("*.json")} == {
        "one_task.json",
        "two_task.json",
    }


def test_a_torn_line_was_no_result(world):
    world.save(20)
    world.follow()
    path = world.output / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    world.follow()
    assert (
        world.evaluators["one"].ran == [20] and world.evaluators["two"].ran == [20] * 2
    )


def test_lines_that_are_not_ours_are_passed_over(world):
    world.output.mkdir()
    foreign = b'{"a": 1}\n12\n{"step": 20}\n{"step": "x", "evaluator": "one"}\n\xff\n'
    foreign += b'{"step": 20, "evaluator": ["one"], "metrics": {}}\n[]\nnull\n'
    (world.output / "results.jsonl").write_bytes(foreign)
    world.save(20)
    world.follow()
    world.follow()
    assert [played.ran for played in world.evaluators.values()] == [[20]] * 2


def test_steps_that_are_deleted_meanwhile(world, capsys):
    """One before it is looked at, one while it is read."""
    world.save(5, 10, 15)

    def vanish():
        world.delete(10)
        raise RunError("manifest.json cannot be read: No such file or directory")

    world.broken = {5: lambda: world.delete(15), 10: vanish}
    world.events = [lambda: world.save(20)]
    world.follow()
    assert world.rows() == both(5, 20) and world.loads == [5, 10, 20]
    said = capsys.readouterr().out
    assert "step 10 is left out: it was deleted before it was read" in said


def test_a_damaged_step_is_named_once_and_left_out(world, capsys):
    def damaged():
        raise RunError("checkpoint 5 is damaged (model/d/0 is missing)")

    world.save(5)
    world.broken = {5: damaged}
    world.events = [lambda: None, lambda: world.save(20)]
    world.follow()
    assert world.rows() == both(20) and world.loads == [5, 20]
    assert capsys.readouterr().out.count("model/d/0 is missing") == 1


def test_an_evaluator_that_fails_on_a_step_is_noted_and_not_tried_again(world, capsys):
    world.save(5, 20)
    world.evaluators["one"].fails[5] = RunError("embeddings hold NaN")
    world.follow()
    world.follow()
    assert world.rows() == both(5, 20) and world.evaluators["one"].ran == [5, 20]
    assert "one failed and is left out: embeddings hold NaN" in capsys.readouterr().out


def test_what_is_wrong_with_the_config_ends_it(world):
    world.save(5)
    world.evaluators["one"].fails[5] = ConfigError("needs a label")
    with pytest.raises(ConfigError, match="needs a label"):
        world.follow()

    def no_average():
        raise ConfigError("keeps no moving average")

    world.broken = {5: no_average}
    with pytest.raises(ConfigError, match="keeps no moving average"):
        world.follow()


def test_a_run_that_stops_early_ends_it_there(world):
    world.config.stop_after = 10
    world.save(5, 10)
    world.follow()
    assert world.rows() == both(5, 10)


def test_a_step_is_no_run(world):
    world.save(5)
    with pytest.raises(ConfigError, match="is one step; give its workdir"):
        following.Follower(str(world.workdir / "checkpoints" / "5"), None, "out")

"""W&B gets every number of a row, under a run that a folder keeps."""

import sys
import types

import pytest

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.logs import MetricsWriter
from vlp_jax.core.wandb import WandbBoard


class Recorder(types.ModuleType):
    """Stands in for the package: remembers what it was told."""

    def __init__(self):
        super().__init__("wandb")
        self.started, self.logged, self.finished = [], [], 0

    def init(self, **settings):
        self.started.append(settings)
        return self

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1


def test_rows_arrive_and_a_folder_is_a_run(tmp_path, monkeypatch):
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", recorder)
    for first_step in (0, 5):
        board = lambda: WandbBoard("vlp", "tiny", tmp_path)  # noqa: E731
        writer = MetricsWriter(tmp_path, first_step, board)
        metrics = {"loss": 1.5, "nothing": None}
        writer.write(first_step + 1, metrics, {"images_per_second": 7})
        writer.close()
    assert recorder.logged[:2] == [
        (1, {"loss": 1.5}),
        (1, {"timing/images_per_second": 7}),
    ]
    assert [step for step, _ in recorder.logged] == [1, 1, 6, 6]
    first, second = recorder.started
    assert first["id"] == second["id"] and first["project"] == "vlp"
    assert first["resume"] == "allow" and recorder.finished == 2
    WandbBoard("vlp", "other", tmp_path / "other")
    assert recorder.started[2]["id"] != first["id"]


def test_what_wandb_refuses_is_explained(tmp_path, monkeypatch):
    recorder = Recorder()
    recorder.init = lambda **settings: 1 / 0
    monkeypatch.setitem(sys.modules, "wandb", recorder)
    with pytest.raises(RunError, match="wandb.init failed: .*`wandb login`"):
        WandbBoard("vlp", None, tmp_path)


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match="pip install wandb"):
        WandbBoard("vlp", None, tmp_path)

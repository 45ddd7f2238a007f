"""A residual network trains, goes on bit for bit, is evaluated, and is locked."""

import json
import shutil

import numpy as np
import pytest

from tests.end_to_end.same_run import checkpoint
from vlp_jax.checkpoint.steps import CHECKPOINTS

pytestmark = pytest.mark.long
RESIDUAL = (
    "config.steps = 10",
    "config.model.project_image = False",
    "config.model.image.update(patch_size=None, depth=None, heads=None)",
    "config.model.image.update(kind='modified_resnet', depths=(1, 1), stem_width=16)",
    "config.mesh.fsdp, config.zero = 2, True",
    "config.evaluation.weights = 'ema'",
)
DEVICES = dict(devices=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("residual")


@pytest.fixture(scope="module")
def trained(program, folder, write_recipe):
    """(recipe, workdir) of ten steps on eight devices."""
    recipe, workdir = write_recipe(folder, *RESIDUAL), folder / "run"
    command = "train", f"--config={recipe}", f"--workdir={workdir}"
    assert program(*command, **DEVICES).check().err == ""
    return recipe, workdir


def moved(arrays: dict, step: dict, start: str) -> list[str]:
    names = [path for path in arrays if path.startswith(start)]
    assert names
    return [path for path in names if not np.array_equal(arrays[path], step[path])]


def test_statistics_are_trained_averaged_and_saved(trained):
    first, last = (checkpoint(trained[1], step) for step in (5, 10))
    found = [path for path in last if path.startswith("model/batch_stats/image/")]
    assert len(found) == 22 and moved(first, last, "model/batch_stats/") == found
    for path in found:
        average = path.replace("model/batch_stats", "ema")
        assert not np.array_equal(last[average], last[path])
    assert not [p for p in last if p.startswith("training") and "mean" in p]


def test_a_resumed_run_ends_the_same(program, trained, tmp_path):
    recipe, workdir = trained
    shutil.copytree(workdir / CHECKPOINTS / "5", tmp_path / CHECKPOINTS / "5")
    command = "train", f"--config={recipe}", f"--workdir={tmp_path}"
    assert "going on from step 5" in program(*command, **DEVICES).check().out
    expected, found = checkpoint(workdir, 10), checkpoint(tmp_path, 10)
    assert expected.keys() == found.keys()
    assert [p for p in found if found[p].tobytes() != expected[p].tobytes()] == []


def test_evaluation_finds_what_the_run_found(program, trained, tmp_path):
    """With the average of parameters and statistics, on one device."""
    _, workdir = trained
    program("evaluate", f"--checkpoint={workdir}", f"--output={tmp_path}").check()
    (path,) = tmp_path.glob("*.json")
    found = json.loads(path.read_text())["metrics"]
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    assert found == {name: last[f"retrieval/{name}"] for name in found}


def test_a_locked_tower_keeps_its_statistics(program, trained, tmp_path):
    """LiT: statistics come from the checkpoint, and stay."""
    recipe, workdir = trained
    command = (
        "train",
        f"--config={recipe}",
        f"--workdir={tmp_path}",
        f"--config.initialise.checkpoint={workdir}",
        "--config.initialise.parts=('^image',)",
        "--config.trainable=('^text', '^logit')",
    )
    refused = program(*command, **DEVICES)
    assert refused.code == 78 and "frozen_statistics=True" in refused.err
    frozen = "--config.model.image.frozen_statistics=True"
    out = program(*command, frozen, "--config.stop_after=5", **DEVICES).check().out
    assert " arrays of image\n" in out and "left" not in out
    before, after = checkpoint(workdir, 10), checkpoint(tmp_path, 5)
    for start in ("model/batch_stats/image/", "model/params/image/"):
        assert moved(before, after, start) == []

"""What is read: mixtures, epochs and cut texts, in real runs."""

import json

import pytest

from tests.end_to_end.same_run import TINY
from vlp_jax.core.logs import read_rows
from vlp_jax.training.sample_log import SAMPLES_FILE


def samples(workdir) -> list[list[int]]:
    """The ids of every step; steps count up from 1 without gaps."""
    lines = (workdir / SAMPLES_FILE).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["pairs"] for row in rows]


def test_cut_texts_give_the_same_losses(program, tiny_run, tmp_path):
    flags = ("--config.data.text_lengths=(6, 12, 16)", "--config.stop_after=12")
    program("train", TINY, f"--workdir={tmp_path}", *flags).check()
    found = [row for row in read_rows(tmp_path) if "loss" in row]
    rows = read_rows(tiny_run.workdir)
    expected = [row for row in rows if "loss" in row and row["step"] <= 12]
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)


@pytest.mark.long
def test_epochs_over_a_mixture_read_every_sample(program, recipe_file, tmp_path):
    recipe = recipe_file(
        "from vlp_jax import recipe",
        "config.data.train.size = 40",
        "config.data.mixture.more = recipe.mixed('digit_scenes', size=24, canvas=24)",
        "config.data.log_samples = True",
        "config.epochs = 2.0",
        "config.learning_rate.warmup_steps = 1",
    )
    workdir = tmp_path / "run"
    flags = (f"--config={recipe}", f"--workdir={workdir}")
    program("train", *flags, "--config.stop_after=3").check()
    found = program("train", *flags).check()
    assert "train (digit_scenes/train, 40) + more (digit_scenes/train, 24)" in found.out
    assert "8 steps of 16 pairs (2.0 passes over the data)" in found.out
    ids = sum(samples(workdir), [])
    assert sorted(ids[:64]) == sorted(ids[64:]) == list(range(64))
    assert ids[:64] != ids[64:]

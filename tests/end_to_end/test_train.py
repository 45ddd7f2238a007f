"""What train says, what it takes, and what a wrong command leaves alone."""

import pytest

from tests.end_to_end.outcomes import assert_explained, fingerprint
from tests.end_to_end.same_run import TINY
from vlp_jax.core.logs import read_rows


def test_train_says_what_it_does_and_what_comes_next(tiny_run):
    out, workdir = tiny_run.finished.out, tiny_run.workdir
    assert "vlp_jax.train  tiny" in out
    assert "1 x cpu (data 1, fsdp 1, tensor 1)" in out
    assert "digit_scenes/train, 512 samples\n" in out
    assert "40 steps of 16 pairs (1.2 passes over the data), saved every 5" in out
    plain = [line for line in out.splitlines() if line.startswith("step ")]
    assert [int(line.split()[1].split("/")[0]) for line in plain] == [
        *range(3, 40, 3),
        40,
    ]
    assert all(
        "loss" in line and "images/s" in line and "ETA" in line for line in plain
    )
    assert "evaluation  retrieval/image_retrieval_recall@1 " in out
    last = out.splitlines()[-1].strip()
    expected = f"--checkpoint={workdir} --output={workdir}/eval"
    assert last == f"python -m vlp_jax.evaluate {expected}"
    assert tiny_run.finished.err == ""
    assert list((workdir / "tensorboard").glob("events*"))


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_help_is_short(program, name):
    found = program(name, "--help").check()
    assert len(found.out.splitlines()) < 40
    assert f"python -m vlp_jax.{name} --" in found.out
    own = {"train": ["workdir"], "evaluate": ["checkpoint", "output"]}[name]
    for flag in ("config", "help_config", *own):
        assert f"  --{flag} " in found.out


def test_help_config_lists_every_setting(program):
    found = program("train", TINY, "--config.seed=5", "--help_config").check()
    lines = found.out.splitlines()
    assert all(line.startswith("--config.") for line in lines)
    assert {
        "--config.seed=5",
        "--config.batch_size=16",
        "--config.model.image.width=32",
        "--config.data.train.kind=digit_scenes",
    } <= set(lines)
    assert any(x.startswith("--config.data.train.root  (not given") for x in lines)


@pytest.mark.long
@pytest.mark.fault("F16")
def test_a_run_that_has_begun_loses_nothing(program, recipe_file, tmp_path):
    """A wrong command leaves it alone; the right one then goes on from its step."""
    workdir = f"--workdir={tmp_path / 'run'}"
    program("train", TINY, workdir, "--config.stop_after=7").check()
    before = fingerprint(tmp_path / "run")
    recipe = f"--config={recipe_file('config.ema_decay = None')}"
    without = program("train", recipe, workdir)
    assert_explained(without, "other settings (ema_decay: 0.9 -> None)", "--workdir")
    accepted = program("train", recipe, workdir, "--accept_changes")
    assert_explained(accepted, "holds model, ema, training", "another workdir")
    assert fingerprint(tmp_path / "run") == before

    found = program("train", TINY, workdir, "--config.stop_after=9").check()
    assert "going on from step 7" in found.out
    assert [row["step"] for row in read_rows(tmp_path / "run")] == [3, 6, 7, 9]

"""LiT from a finished run: what is locked stays, and a resumed run ends the same."""

import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from configs.transfer import lit
from tests.end_to_end.same_run import checkpoint
from tests.recipes import tiny
from vlp_jax import runs
from vlp_jax.checkpoint.steps import CHECKPOINTS
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.training.state import variables_of

TINY = Path(__file__).with_name("tiny.py")
LOCKED = ("image/", "image_projection/")


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.tobytes() == other.tobytes() and one.shape == other.shape


@pytest.fixture(scope="module")
def lit_run(program, tiny_run, tmp_path_factory):
    """tiny.py with what makes the shipped recipe LiT: (its command, its folder)."""
    shipped = lit.get_config()
    folder = tmp_path_factory.mktemp("lit")
    parts, patterns = tuple(shipped.initialise.parts), tuple(shipped.trainable)
    command = (
        "train",
        f"--config={TINY}",
        f"--config.initialise.checkpoint={tiny_run.workdir}",
        f"--config.initialise.parts={parts}",
        f"--config.trainable={patterns}",
        "--config.steps=10",
        "--config.seed=1",
        # Nothing of the first run's text tower is needed.
        "--config.model.text.width=16",
        "--config.tokenizer.vocab_size=280",
    )
    found = program(*command, f"--workdir={folder / 'run'}").check()
    return command, folder / "run", found


def test_the_locked_tower_is_the_checkpoints_bit_for_bit(tiny_run, lit_run):
    before, after = checkpoint(tiny_run.workdir, 40), checkpoint(lit_run[1], 10)
    start = tuple(f"model/params/{name}" for name in LOCKED)
    locked = [path for path in after if path.startswith(start)]
    assert len(locked) == len([path for path in before if path.startswith(start)]) > 20
    for path in locked:
        average = path.replace("model/params/", "ema/")
        assert same(before[path], after[path]) and same(before[path], after[average])
    half = checkpoint(lit_run[1], 5)
    text = [path for path in after if path.startswith("model/params/text/")]
    assert all(not same(half[path], after[path]) for path in text if "bias" not in path)


def test_no_optimizer_state_exists_for_it(tiny_run, lit_run):
    before, after = checkpoint(tiny_run.workdir, 40), checkpoint(lit_run[1], 10)
    moments = [p for p in after if p.startswith("training/optimizer")]
    assert len(moments) > 40 and not [path for path in moments if "image" in path]
    assert [p for p in before if p.startswith("training/optimizer") and "image" in p]


def test_the_run_says_what_it_takes(tiny_run, lit_run):
    out = lit_run[2].out
    assert f"initial   {tiny_run.workdir}/checkpoints/40\n" in out
    assert "taken     24 arrays of image, image_projection\n" in out
    assert re.search(r" parameters, of which [\d,]+ train\n", out)
    assert "differs" not in out and "left" not in out and "tokenizer" not in out
    assert lit_run[2].err == ""


@pytest.mark.long
def test_a_resumed_run_ends_the_same(program, lit_run, tmp_path):
    """It goes on from step 5, and looks at no other checkpoint any more."""
    command, reference, _ = lit_run
    shutil.copytree(reference / CHECKPOINTS / "5", tmp_path / CHECKPOINTS / "5")
    gone = f"--config.initialise.checkpoint={tmp_path / 'gone'}"
    found = program(*command, gone, f"--workdir={tmp_path}").check()
    assert "going on from step 5" in found.out and "initial   " not in found.out
    expected, after = checkpoint(reference, 10), checkpoint(tmp_path, 10)
    assert expected.keys() == after.keys()
    assert [path for path in after if not same(expected[path], after[path])] == []


def test_another_lock_is_another_run(tiny_run, lit_run, tmp_path):
    shutil.copytree(lit_run[1] / CHECKPOINTS / "5", tmp_path / CHECKPOINTS / "5")
    config = begun_from(tiny_run.workdir)
    config.model.text.width = 16
    config.trainable = ("^text/",)
    with pytest.raises(ConfigError, match=r"trainable: \[.*\] -> \['\^text/'\]"):
        runs.TrainingRun(config, tmp_path).start()
    # Even where that is wanted, its optimizer does not fit.
    with pytest.raises(ConfigError, match="unexpected: optimizer/1/mu/logit_scale"):
        runs.TrainingRun(config, tmp_path, accept_changes=True).start()


def begun_from(workdir, **initialise):
    """The recipe of tiny.py that starts from another run."""
    config = tiny(initialise__checkpoint=str(workdir))
    config.initialise.update(**initialise)
    return config


def test_a_whole_checkpoint_with_other_sizes_on_many_devices(
    tiny_run, tmp_path, capsys
):
    """36 pixels instead of 24, and 30 tokens instead of 24, on 2 x 4 devices."""
    config = begun_from(tiny_run.workdir, weights="ema")
    config.preprocessing.image_size = 36
    config.tokenizer.length = 30
    config.mesh.fsdp = 4
    config.model.image.activation = "gelu"
    config.model.logit_bias_init = -10.0
    state = runs.TrainingRun(config, tmp_path / "run").start()
    out = capsys.readouterr().out
    assert f"initial   moving average of {tiny_run.workdir}/checkpoints/40\n" in out
    assert "resized   image/position_embedding [5, 32] -> [10, 32]\n" in out
    assert "resized   text/position_embedding [24, 32] -> [30, 32]\n" in out
    kept = "left      1 missing there (they keep their initial values): logit_bias\n"
    assert kept in out and float(state.params["logit_bias"]) == -10
    assert "text      with the checkpoint's tokenizer" in out
    assert "differs   model.image.activation: quick_gelu there, gelu here\n" in out
    saved, params = checkpoint(tiny_run.workdir, 40), variables_of(state)["params"]
    for path, leaf in trees.flatten(params).items():
        if "position_embedding" not in path and path != "logit_bias":
            assert same(np.asarray(leaf), saved[f"ema/{path}"]), path
    leaf = params["text"]["token_embedding"]
    assert leaf.addressable_shards[0].data.size * 4 == leaf.size
    assert jax.tree.all(jax.tree.map(np.array_equal, state.ema, params))


@pytest.mark.parametrize(("parts", "kept"), [(None, True), (("^image",), False)])
def test_a_tokenizer_comes_with_the_text_tower(tiny_run, tmp_path, parts, kept):
    config = begun_from(tiny_run.workdir, parts=parts)
    config.tokenizer.update(vocab_size=270, length=12)
    run = runs.TrainingRun(config, tmp_path / "run")
    assert run.tokenizer.vocab_size == (300 if kept else 270)
    assert run.tokenizer.length == 12

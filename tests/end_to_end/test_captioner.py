"""A decoder learns to write about a locked tower, then both are tuned."""

from pathlib import Path

import pytest

from tests.end_to_end.same_run import checkpoint, rows
from tests.end_to_end.test_lit import same

pytestmark = pytest.mark.long
TINY = Path(__file__).with_name("tiny_captioner.py")
IMAGE = "model/params/image/"


@pytest.fixture(scope="module")
def trained(program, tiny_run, tmp_path_factory):
    """(what the run said, its folder)."""
    folder = tmp_path_factory.mktemp("captioner") / "run"
    start = f"--config.initialise.checkpoint={tiny_run.workdir}"
    found = program("train", f"--config={TINY}", start, f"--workdir={folder}").check()
    return found, folder


def test_the_tower_stays_and_the_decoder_learns(tiny_run, trained):
    """Bit for bit, average and all; and nothing is remembered of its gradients."""
    before, after = checkpoint(tiny_run.workdir, 40), checkpoint(trained[1], 10)
    locked = [path for path in after if path.startswith(IMAGE)]
    assert len(locked) > 15
    for path in locked:
        average = path.replace("model/params/", "ema/")
        assert same(before[path], after[path]) and same(before[path], after[average])
    half, moved = checkpoint(trained[1], 5), []
    for path in after:
        if path.startswith(("model/params/decoder/", "model/params/context_proj")):
            moved.append(path)
            assert not same(half[path], after[path]) or "bias" in path, path
    assert len(moved) > 20
    moments = [p for p in after if p.startswith("training/optimizer")]
    assert len(moments) > 20 and not [path for path in moments if "image" in path]


def test_it_says_what_it_takes_and_is_judged_by_what_it_writes(tiny_run, trained):
    out = trained[0].out
    assert f"initial   {tiny_run.workdir}/checkpoints/40\n" in out
    assert " arrays of image\n" in out and "tokenizer" not in out
    assert "differs" not in out and "left" not in out
    names = {name for row in rows(trained[1]) for name in row}
    assert {"captioning/loss", "captioning/Bleu_4", "captioning/CIDEr"} <= names


def test_then_all_of_it_is_tuned(program, trained, tmp_path):
    """From its own checkpoint, with the tokenizer that the decoder learned."""
    found = program(
        "train",
        f"--config={TINY}",
        f"--config.initialise.checkpoint={trained[1]}",
        "--config.initialise.parts=('.',)",
        "--config.trainable=('.',)",
        "--config.learning_rate.peak=1e-4",
        "--config.tokenizer.vocab_size=270",
        f"--workdir={tmp_path / 'tuned'}",
    ).check()
    assert "text      with the checkpoint's tokenizer" in found.out
    before, after = checkpoint(trained[1], 10), checkpoint(tmp_path / "tuned", 10)
    shapes = {k: x.shape for k, x in after.items() if k.startswith("model/")}
    assert shapes == {k: x.shape for k, x in before.items() if k.startswith("model/")}
    assert not any(
        same(before[path], after[path])
        for path in after
        if path.startswith(IMAGE) and path.endswith("kernel")
    )

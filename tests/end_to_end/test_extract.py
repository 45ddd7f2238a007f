"""Features as a person extracts them: killed, on one device and on eight, refused."""

import json
import re

import numpy as np
import pyarrow.parquet
import pytest

from tests.end_to_end.outcomes import assert_explained, fingerprint
from tests.end_to_end.several import explicit
from tests.processes import wait_until
from tests.saved_runs import untrained
from vlp_jax import features

SHARDS = 150


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("saved") / "run"
    untrained(workdir, 5)
    return workdir


@pytest.fixture(scope="module")
def command(checkpoint):
    return (
        f"--checkpoint={checkpoint}",
        "--config=configs/data/digit_scenes.py",
        "--config.data.canvas=24",
        f"--config.data.size={4 * SHARDS}",
        "--shard_size=4",
        "--batch_size=8",
    )


@pytest.fixture(scope="module")
def whole(program, command, tmp_path_factory):
    """What an extraction that nothing interrupts writes, and says."""
    folder = tmp_path_factory.mktemp("features") / "whole"
    found = program("extract", *command, f"--output={folder}").check()
    assert found.err == ""
    return folder, found.out


def test_what_it_says_and_writes(whole, checkpoint):
    folder, said = whole
    assert f"vlp_jax.extract  {checkpoint}/checkpoints/5" in said
    assert "data      digit_scenes/train, 600 samples" in said
    assert f"samples embedded {4 * SHARDS}/{4 * SHARDS}" in said
    assert re.search(r"written   600 samples, [\d,]+ images/s\n", said)
    assert "Next: read them" in said
    assert 'python -c "from vlp_jax.features import read' in said
    found = features.read(folder)
    assert found["image_embedding"].shape == (600, 32)
    assert found["text_embedding"].shape == (len(found["captions"]), 32)
    lengths = np.linalg.norm(found["image_embedding"], axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)
    about = features.manifest(folder)
    assert about["checkpoint"]["step"] == 5 and about["samples"] == 600


@pytest.mark.fault("F19")
def test_it_is_killed_and_goes_on(program, command, whole, tmp_path):
    folder = tmp_path / "cut"
    process = program.start("extract", *command, f"--output={folder}")
    wait_until(lambda: len(list(folder.glob("features-*.npz"))) > 2, process)
    program.kill(process)
    there = len(list(folder.glob("features-*.npz")))
    assert 2 < there < SHARDS and not (folder / "_manifest.json").exists()

    found = program("extract", *command, f"--output={folder}").check()
    assert f"{SHARDS} in {folder}, " in found.out and "there already" in found.out
    assert fingerprint(folder) == fingerprint(whole[0])


def test_a_folder_of_other_features_is_left_as_it_is(program, command, whole):
    folder = whole[0]
    before = fingerprint(folder)
    other = program("extract", *command, f"--output={folder}", "--config.data.size=599")
    assert_explained(other, "begun with another checkpoint, other data", "samples 600")
    assert fingerprint(folder) == before


def test_eight_devices_write_what_one_does(program, command, whole, tmp_path):
    """Bit for bit; and Parquet holds what npz does."""
    flags = (*command, f"--output={tmp_path}", "--format=parquet", "--shard_size=250")
    found = program("extract", *flags, devices=8).check()
    assert "devices   8, 64 pictures a batch" in found.out
    one, eight = features.read(whole[0]), features.read(tmp_path)
    assert list(one) == list(eight)
    for key, values in one.items():
        np.testing.assert_array_equal(eight[key], values, err_msg=key)
    table = pyarrow.parquet.read_table(tmp_path)  # as others do
    assert table.num_rows == 600
    rows = np.stack(table["image_embedding"].to_numpy())
    np.testing.assert_array_equal(rows, one["image_embedding"])
    digests = [
        json.loads((folder / "_manifest.json").read_text())["checkpoint"]["digest"]
        for folder in (whole[0], tmp_path)
    ]
    assert digests[0] == digests[1]


DATA = "--config=configs/data/digit_scenes.py"
REFUSED = {
    "no folder": ((DATA, "--checkpoint=W"), {}, "extract needs a model, data and a"),
    "one of two": (
        (DATA, "--checkpoint=W", "--output=OUT"),
        explicit(1, 4711),
        "works on the devices of one machine",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_explained(program, checkpoint, tmp_path, case):
    flags, variables, said = REFUSED[case]
    out = tmp_path / "out"
    filled = [
        flag.replace("=W", f"={checkpoint}").replace("=OUT", f"={out}")
        for flag in flags
    ]
    process = program.start("extract", *filled, **variables)
    assert_explained(program.wait(process), said)
    assert not out.exists()

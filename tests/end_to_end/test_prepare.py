"""From data to shards to a run, as typed; killed in the middle, too."""

import csv

import pytest

from tests.data.tars import pairs, picture, write_tar
from tests.end_to_end.outcomes import assert_explained
from tests.end_to_end.test_own_pictures import SMALL
from tests.processes import wait_until
from vlp_jax import build
from vlp_jax.core.logs import read_rows
from vlp_jax.data.shards.writer import ShardWriter
from vlp_jax.data.sources.image_folder import ImageFolder
from vlp_jax.recipe import dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """80 pictures with captions, of which two are broken."""
    root = tmp_path_factory.mktemp("pictures")
    rows = [("image", "caption")]
    for number in range(80):
        colour = ("red", "blue", "green", "white")[number % 4]
        data = picture(colour, size=(32 + number, 40))
        data = {7: data[:100], 9: b"<html>"}.get(number, data)
        (root / f"{number}.jpg").write_bytes(data)
        rows.append((f"{number}.jpg", f"a {colour} sheet, number {number}"))
    with open(root / "captions.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


RECIPE = """
from vlp_jax import recipe

def get_config():
    return recipe.dataset("image_folder", root={root!r}, captions="captions.csv")
"""


@pytest.mark.fault("F19")
def test_prepare_is_killed_and_goes_on(program, folder, tmp_path):
    recipe = tmp_path / "pictures.py"
    recipe.write_text(RECIPE.format(root=str(folder)))
    flags = (f"--config={recipe}", "--shard_size=2", "--workers=1")
    first, second = tmp_path / "first", tmp_path / "second"
    source = ImageFolder(str(folder), captions="captions.csv")
    data = dataset("image_folder", root=str(folder), captions="captions.csv").data
    settings = build.settings(data)  # the whole of them, as prepare writes them down
    ShardWriter(source, first, shard_size=2, workers=2, settings=settings).run()

    process = program.start("prepare", *flags, f"--output={second}")
    wait_until(lambda: list(second.glob("*.tar")), process)
    program.kill(process)
    there = len(list(second.glob("*.tar")))
    assert 1 <= there <= 40

    found = program("prepare", *flags, f"--output={second}").check()
    assert f"40 in {second}" in found.out and "written   78 samples" in found.out
    assert "left out  1 image_truncated: 7.jpg" in found.out
    assert "left out  1 image_unreadable: 9.jpg" in found.out
    assert f"--config.data.train.urls={second}" in found.out and found.err == ""
    content = [
        {
            p.name: p.read_bytes()
            for p in path.iterdir()
            if p.suffix in (".tar", ".json")
        }
        for path in (first, second)
    ]
    assert content[0] == content[1]


@pytest.mark.long
def test_a_run_on_shards_is_one_setting(program, folder, tmp_path):
    shards = tmp_path / "shards"
    source = ImageFolder(str(folder), captions="captions.csv")
    ShardWriter(source, shards, shard_size=2, workers=2).run()
    found = program(
        "train",
        "--config=configs/quickstart.py",
        f"--workdir={tmp_path / 'run'}",
        "--config.data.train.kind=webdataset",
        f"--config.data.train.urls={shards}/{{00000..00039}}.tar",
        "--config.data.train.captions=('txt',)",
        *SMALL,
    ).check()
    assert "webdataset/shards, 78 samples" in found.out
    rows = read_rows(tmp_path / "run")
    assert [row["step"] for row in rows if "loss" in row] == [2, 4, 6, 8]
    assert not [key for key in rows[-1] if key.startswith("bad_samples/")]


@pytest.mark.parametrize(
    ("program_name", "flags", "said"),
    [
        ("prepare", (), "prepare needs data and a folder"),
        ("prepare", ("--config=configs/quickstart.py",), "prepare needs data and"),
        (
            "prepare",
            ("--config=configs/data/parquet.py", "--output=DIR/out"),
            "data of kind 'parquet' needs the setting 'urls'",
        ),
        (
            "prepare",
            (
                "--config=configs/data/webdataset.py",
                "--config.data.urls=DIR/{0..3}.tar",
                "--output=DIR/out",
            ),
            "1.tar: No such file",
        ),
        (
            "train",
            (
                "--config=configs/quickstart.py",
                "--workdir=DIR/run",
                "--config.data.train.kind=webdataset",
                "--config.data.train.urls=pipe:cat DIR/0.tar",
            ),
            "would run a command",
        ),
    ],
)
def test_it_is_explained(program, tmp_path, program_name, flags, said):
    write_tar(tmp_path / "0.tar", pairs(2))
    found = program(program_name, *(f.replace("DIR", str(tmp_path)) for f in flags))
    assert_explained(found, said)
    assert not (tmp_path / "run").exists() and not (tmp_path / "out").exists()

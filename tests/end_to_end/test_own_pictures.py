"""A user's own folder: pictures of every kind, some broken, and the commands of README.

The training command is the recipe of the quickstart with another source, as typed,
and then some settings that make it small.
"""

import csv
import io
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.outcomes import assert_explained, assert_failed
from vlp_jax.core.logs import read_rows
from vlp_jax.data.order import Order
from vlp_jax.data.samples import PROBES
from vlp_jax.data.sources.digit_scenes import DigitScenes

PICTURES, PER_IMAGE = 64, 5
# Sample: why it cannot be used. Substitutes are drawn for them.
BROKEN = {
    3: "image_truncated",
    11: "image_unreadable",  # an HTML page
    30: "image_empty",
    31: "image_missing",
    50: "image_truncated",
}
SMALL = (
    "--config.batch_size=16",
    "--config.steps=8",  # two passes over the pictures
    "--config.log_every=2",
    "--config.checkpoint.every=4",
    "--config.learning_rate.warmup_steps=2",
    "--config.preprocessing.image_size=24",
    "--config.tokenizer.vocab_size=300",
    "--config.model.image.patch_size=12",
    "--config.model.image.width=32",
    "--config.model.image.depth=1",
    "--config.model.text.width=32",
    "--config.model.text.depth=1",
    "--config.evaluation.batch_size=32",
    "--config.evaluation.evaluators.retrieval.data.size=20",
    "--config.evaluation.evaluators.zero_shot.data.size=20",
)


def encoded(picture: Image.Image, form: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    picture.convert(mode).save(file, form)
    return file.getvalue()


def picture(index: int, image: np.ndarray) -> tuple[str, bytes]:
    """(ending, file) of a scene in one of many sizes and kinds."""
    rng = np.random.default_rng(index)
    size = tuple(int(side) for side in rng.integers(20, 200, size=2))
    resized = Image.fromarray(image).resize(size)
    kinds = {
        5: ("jpg", encoded(resized, "JPEG", "L")),
        6: ("jpg", encoded(resized, "JPEG", "CMYK")),
        7: ("png", encoded(resized, "PNG", "RGBA")),
        8: ("png", encoded(resized, "PNG", "P")),
        9: ("webp", encoded(resized, "WEBP")),
    }
    return kinds.get(index % 16, ("jpg", encoded(resized, "JPEG")))


def damaged(data: bytes, cause: str) -> bytes | None:
    return {
        "image_truncated": data[: len(data) // 2],
        "image_unreadable": b"<!DOCTYPE html><html><title>404</title></html>",
        "image_empty": b"",
        "image_missing": None,
    }[cause]


def write_folder(root, split: str, count: int, broken: dict[int, str]):
    """`count` pictures below root/photos and root/captions.csv, five rows an image."""
    scenes = DigitScenes(split=split, size=count, canvas=48)
    (root / "photos").mkdir(parents=True)
    rows = []
    for index in range(count):
        example = scenes[index]
        ending, data = picture(index, example.image)
        name = f"photos/{index}.{ending}"
        if index in broken:
            name, data = (
                f"photos/{index}.jpg",
                damaged(encoded(Image.fromarray(example.image), "JPEG"), broken[index]),
            )
        if data is not None:
            (root / name).write_bytes(data)
        rows += [(name, caption) for caption in example.captions[:PER_IMAGE]]
    with open(root / "captions.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])
    return root


def command(root, workdir, *more: str) -> tuple[str, ...]:
    return (
        "train",
        "--config=configs/quickstart.py",
        f"--workdir={workdir}",
        "--config.data.train.kind=image_folder",
        f"--config.data.train.root={root}",
        "--config.data.train.captions=captions.csv",
        *SMALL,
        *more,
    )


def expected_counts(size: int, broken: dict[int, str], passes: int) -> dict[str, int]:
    """Each bad sample costs one count, and so does each bad one tried in its place."""
    found = Counter()
    for index in broken:
        for probe in range(PROBES):
            at = Order(size, seed=0).substitute(index, probe)
            if at not in broken:
                break
            found[broken[at]] += passes
    return dict(found)


def bad_samples(row: dict) -> dict[str, int]:
    start = "bad_samples/"
    return {k.removeprefix(start): n for k, n in row.items() if k.startswith(start)}


@pytest.fixture(scope="module")
def own_run(program, tmp_path_factory):
    """A run on 64 pictures, five of them broken, and one row without a caption."""
    folder = tmp_path_factory.mktemp("own")
    root = write_folder(folder / "train", "train", PICTURES, BROKEN)
    with open(root / "captions.csv", "a") as file:
        file.write("photos/0.jpg,\n")
    return folder / "run", program(*command(root, folder / "run")).check()


def test_training_counts_what_is_broken_and_goes_on(own_run):
    workdir, found = own_run
    left_out = "64 samples (left out: 1 caption_missing)"
    assert f"image_folder/train/captions, {left_out}\n" in found.out
    rows = read_rows(workdir)
    assert [row["step"] for row in rows if "loss" in row] == [2, 4, 6, 8]
    assert bad_samples(rows[-1]) == expected_counts(PICTURES, BROKEN, passes=2)
    halfway = next(row for row in rows if row["step"] == 4)
    assert bad_samples(halfway) == expected_counts(PICTURES, BROKEN, passes=1)
    assert f"{sum(bad_samples(rows[-1]).values())} bad samples" in found.out
    assert found.err == ""


def test_evaluate_on_a_captions_table(program, own_run, tmp_path):
    root = write_folder(tmp_path / "data", "test", 24, {4: "image_truncated"})
    found = program(
        "evaluate",
        f"--checkpoint={own_run[0]}",
        "--config=configs/evaluate/image_folder.py",
        f"--config.data.root={root}",
        "--config.data.captions=captions.csv",
        f"--output={tmp_path / 'out'}",
        "--config.batch_size=32",
    ).check()
    names = [
        f"{side}_retrieval_recall@{k}" for side in ("image", "text") for k in (1, 5, 10)
    ]
    assert all(name in found.out for name in names)
    assert "{'image_truncated': 1}" in found.out
    (path,) = (tmp_path / "out").glob("*.json")
    result = json.loads(path.read_text())
    assert set(result) == {
        "dataset",
        "model",
        "pretrained",
        "task",
        "metrics",
        "language",
    }
    assert result["task"] == "zeroshot_retrieval"
    assert result["dataset"] == "image_folder/data/captions"
    assert sorted(result["metrics"]) == sorted(names)
    assert all(0 <= value <= 1 for value in result["metrics"].values())
    page = (tmp_path / "out" / "report.html").read_text()
    assert "data:image/" in page and "recall@5" in page
    assert "http://" not in page.replace("http://www.w3.org", "")  # it stands alone


def test_evaluate_on_class_folders(program, own_run, tmp_path):
    scenes = DigitScenes(split="test", size=60, canvas=48, digit_counts=(1,))
    names = ["three", "number four", "five", "six", "seven"]
    for index in range(60):
        example = scenes[index]
        if example.label in range(3, 8):
            folder = tmp_path / "data" / names[example.label - 3].replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            ending, data = picture(index, example.image)
            (folder / f"{index}.{ending}").write_bytes(data)
    found = program(
        "evaluate",
        f"--checkpoint={own_run[0]}",
        "--config=configs/evaluate/image_classes.py",
        f"--config.data.root={tmp_path / 'data'}",
        "--config.evaluators.zero_shot.templates=('a picture of a small red {}', '{}')",
        f"--output={tmp_path / 'out'}",
        "--config.batch_size=32",
    ).check()
    assert "acc1" in found.out
    (path,) = (tmp_path / "out").glob("*.json")
    metrics = json.loads(path.read_text())["metrics"]
    assert set(metrics) == {"acc1", "acc5", "mean_per_class_recall"}
    assert metrics["acc5"] == 1  # of five classes
    assert "number four" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.long
def test_a_moving_average_that_was_not_kept(program, own_run, tmp_path):
    found = program(
        "evaluate",
        f"--checkpoint={own_run[0]}",
        f"--output={tmp_path / 'out'}",
        "--config=configs/evaluate/digit_scenes.py",
        "--config.weights=ema",
    )
    assert_explained(found, "keeps no moving average", "--config.ema_decay")
    assert not (tmp_path / "out").exists()


def assert_stopped(found, workdir, *said: str) -> None:
    """It says why, and there is no checkpoint."""
    assert_failed(found, *said)
    assert not [p for p in (workdir / "checkpoints").glob("*") if p.name.isdigit()]


@pytest.mark.long
def test_too_many_broken_pictures_stop_the_run(program, tmp_path):
    broken = {i: "image_truncated" for i in range(0, 48, 2)}
    root = write_folder(tmp_path / "data", "train", 48, broken)
    run = tmp_path / "run"
    limit = "--config.data.max_bad_share=0.01"  # 10 of the first 1,000
    found = program(*command(root, run, limit))
    assert_stopped(found, run, "max_bad_share = 0.01", "image_truncated: photos/")
    named = found.err.count("photos/")
    assert 1 <= named <= 5


def test_nothing_but_broken_pictures_stops_the_run(program, tmp_path):
    broken = {i: "image_unreadable" for i in range(20)}
    root = write_folder(tmp_path / "data", "train", 20, broken)
    run = tmp_path / "run"
    found = program(*command(root, run))
    assert_stopped(found, run, "cannot be used", "image_unreadable: photos/")

"""Datasets by name: a run on TFDS' files, and evaluations on published layouts."""

import io
import json
import sys

import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tests.data.sources.prepared import Prepared
from vlp_jax.core.logs import read_rows
from vlp_jax.data.class_names import imagenet_names
from vlp_jax.data.sources.digit_scenes import DigitScenes

PICTURES = 48
SCENES = DigitScenes(size=PICTURES, canvas=24)


def jpeg(index: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(SCENES[index].image).save(file, "JPEG")
    return file.getvalue()


class TinyScenes(Prepared):
    """Captioned as coco_captions is, labelled as cifar10."""

    FEATURES = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "captions": tfds.features.Sequence({"text": tfds.features.Text()}),
        "label": tfds.features.ClassLabel(names=["one", "two", "n01440764"]),
    }
    EXAMPLES = {
        "train": [
            {
                "image": io.BytesIO(jpeg(index)),
                "captions": [{"text": text} for text in SCENES[index].captions],
                "label": index % 3,
            }
            for index in range(PICTURES)
        ]
    }


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    TinyScenes(data_dir=str(root), file_format="array_record").download_and_prepare()
    return root


@pytest.fixture
def evaluate(program, tiny_run, tmp_path):
    """Evaluates the tiny run on a kind of data; the result as written."""

    def run(config: str, *flags: str) -> dict:
        found = program(
            "evaluate",
            f"--checkpoint={tiny_run.workdir}",
            f"--config=configs/evaluate/{config}.py",
            f"--output={tmp_path / 'out'}",
            "--config.batch_size=32",
            *(f"--config.data.{flag}" for flag in flags),
        ).check()
        (path,) = (tmp_path / "out").glob("*.json")
        return json.loads(path.read_text()) | {"printed": found.out}

    return run


def test_a_tfds_dataset_trains(program, recipe_file, data_dir, tmp_path):
    recipe = recipe_file(
        "config.data.train.update(kind='tfds', size=None, canvas=None)",
        f"config.data.train.update(name='tiny_scenes', root={str(data_dir)!r})",
        "config.steps, config.evaluation.every = 6, 6",
    )
    run = tmp_path / "run"
    found = program("train", f"--config={recipe}", f"--workdir={run}").check()
    assert f"tfds/tiny_scenes/train, {PICTURES} samples" in found.out
    losses = [row["loss"] for row in read_rows(run) if "loss" in row]
    assert len(losses) == 2 and all(1 < loss < 4 for loss in losses)  # ln 16 = 2.8
    assert found.err == ""


@pytest.mark.long
def test_zero_shot_and_retrieval_on_tfds(evaluate, data_dir, tmp_path):
    data = "kind=tfds", "name=tiny_scenes", f"root={data_dir}"
    found = evaluate("image_classes", *data, "split=train[:30]")
    assert found["dataset"] == "tfds/tiny_scenes/train[:30]"
    assert set(found["metrics"]) == {"acc1", "acc5", "mean_per_class_recall"}
    assert 0 <= found["metrics"]["acc1"] <= 1
    assert "tench" in (tmp_path / "out" / "report.html").read_text()


def test_retrieval_on_karpathys_test_split(evaluate, tmp_path):
    """Five captions a picture, in the layout of COCO."""
    images = []
    for index in range(PICTURES):
        name = f"COCO_val2014_{index:012d}.jpg"
        path = tmp_path / "coco" / "val2014" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(index))
        sentences = [{"raw": text, "imgid": index} for text in SCENES[index].captions]
        images.append(
            {
                "filepath": "val2014",
                "filename": name,
                "imgid": index,
                "split": "test" if index < 40 else "val",
                "sentences": sentences,
                "cocoid": index,
            }
        )
    content = {"images": images, "dataset": "coco"}
    (tmp_path / "coco" / "dataset_coco.json").write_text(json.dumps(content))
    found = evaluate(
        "image_folder", "kind=coco_captions", f"root={tmp_path / 'coco'}", "split=test"
    )
    assert found["dataset"] == "coco_captions/test"
    assert found["task"] == "zeroshot_retrieval"
    recalls = [found["metrics"][f"text_retrieval_recall@{k}"] for k in (1, 5, 10)]
    assert recalls == sorted(recalls) and recalls[-1] > 0
    # Of 200 texts and 40 pictures: recall over texts comes in steps of 1 / 200.
    over_texts = found["metrics"]["image_retrieval_recall@5"] * 200
    assert over_texts == pytest.approx(round(over_texts), abs=1e-3)


@pytest.mark.long
def test_zero_shot_on_imagenets_folders(evaluate, tmp_path):
    names = list(imagenet_names())[:6]
    for index in range(24):
        path = tmp_path / "data" / "val" / names[index % 6] / f"{index}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(index))
    found = evaluate(
        "image_classes", "kind=imagenet", f"root={tmp_path / 'data'}", "split=val"
    )
    assert found["dataset"] == "imagenet/val"
    # Six classes, so that five guesses miss one: 24 pictures.
    assert found["metrics"]["acc5"] * 24 == pytest.approx(
        round(found["metrics"]["acc5"] * 24), abs=1e-3
    )
    assert "great white shark" in (tmp_path / "out" / "report.html").read_text()


def test_without_files_a_run_ends_in_two_lines(program, tmp_path):
    found = program(
        "train",
        "--config=configs/pretrain/clip_vit_b32.py",
        f"--workdir={tmp_path / 'run'}",
        "--config.data.train.kind=tfds",
        "--config.data.train.name=coco_captions",
        f"--config.data.train.root={tmp_path}",
    )
    assert found.code == 78
    first, second = found.err.splitlines()
    assert first.startswith("error: ") and "'coco_captions'" in first
    assert second == (
        f"tfds build coco_captions --file_format=array_record --data_dir={tmp_path}"
    )
    assert "Traceback" not in found.err and "tensorflow" not in sys.modules
    assert not (tmp_path / "run").exists()

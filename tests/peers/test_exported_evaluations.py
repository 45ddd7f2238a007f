"""An exported model scores in clip_benchmark 1.6.2 as it does here, digit for digit.

open_clip loads the export, prepares pictures and cuts texts with what lies in it.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from tests.data import clip_benchmark_folders
from tests.recipes import tiny
from vlp_jax import endpoints
from vlp_jax.runs import TrainingRun

ROOT = Path(__file__).parents[2]
PICTURES = 53  # neither batch size divides it
OURS, THEIRS = 16, 7
RECALL_AT = (1, 5, 10)
METRICS = {
    "classification": ("acc1", "acc5", "mean_per_class_recall"),
    "retrieval": tuple(
        f"{direction}_retrieval_recall@{k}"
        for direction in ("image", "text")
        for k in RECALL_AT
    ),
}
CLASSES = ("temple", "pink flower", "Blue  sky", "leaves", "A&B", "roof, red", "tree")
TEMPLATES = ("a photo of a {c}.", "{c}", "the  {c} in a PICTURE", "{c} &amp; more")
WORDS = "a red temple, flower under  sky &amp; leaves of trees ROOF 花 isn't".split(" ")
# Blank captions are captions, decomposed letters stay so, and a picture may have none.
ODD = ("a  tree\n\n leaves\n", " \n\n", "", "cafe\u0301 roof\x0bA&B\n")

# Its command line, in the peers' environment.
BENCHMARK = """
import sys, types
# Describes operators that another build of torchvision has; needs more packages.
for name in ("torchvision._meta_registrations", "clip_benchmark.metrics.captioning"):
    sys.modules[name] = types.ModuleType("empty")
from clip_benchmark.cli import main
main()
"""


def photographs(rng) -> list[bytes]:
    """Parts of two photographs, of many shapes, one of them grey."""
    found = []
    for number in range(PICTURES):
        whole = load_sample_images().images[number % 2]
        height, width = rng.integers(40, 400, 2)
        top, left = (
            rng.integers(0, whole.shape[axis] - size)
            for axis, size in enumerate((height, width))
        )
        part = Image.fromarray(whole[top : top + height, left : left + width])
        found.append(jpeg(part.convert("L") if number == 3 else part))
    return found


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


def caption(rng, label: str) -> str:
    """A class among random words."""
    first, last = (" ".join(rng.choice(WORDS, 4)) for _ in range(2))
    return f"{first} {CLASSES[int(label)]} {last}"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of folders, a dataset in each; a picture has 1 to 5 captions."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    pictures = photographs(rng)
    labels = [("cls", str(n)) for n in rng.integers(0, len(CLASSES), PICTURES)]
    captions = [
        ("txt", "\n".join(caption(rng, label) for _ in range(1 + number % 5)))
        for number, (_, label) in enumerate(labels)
    ]
    captions[5:9] = [("txt", text) for text in ODD]
    files = {
        "classification": {
            "classnames.txt": "\n".join(CLASSES),
            "zeroshot_classification_templates.txt": "\n".join(TEMPLATES),
        },
        "retrieval": {"dataset_type.txt": "retrieval\n"},
    }
    for kind, truth in (("classification", labels), ("retrieval", captions)):
        samples = [(p, *t) for p, t in zip(pictures, truth, strict=True)]
        clip_benchmark_folders.write_folder(folder / kind, samples, files[kind], 20)
    return folder


@pytest.fixture(scope="module")
def models(data, tmp_path_factory):
    """A run of ours that has learned the captions, and its export."""
    folder = tmp_path_factory.mktemp("models")
    config = tiny(
        data__train__kind="clip_benchmark",
        data__train__size=None,
        data__train__canvas=None,
        data__train__root=str(data / "retrieval"),
        preprocessing__image_size=32,
        model__image__patch_size=8,
        tokenizer__canonicalise="clip",
        steps=150,
        checkpoint__every=150,
        evaluation__evaluators={},
    )
    training = TrainingRun(config, folder / "ours")
    training.finish(training.start())
    ours, theirs = f"vlp:{folder / 'ours'}", f"open_clip:{folder / 'theirs'}"
    endpoints.write(theirs, endpoints.read(ours))
    return {"run": ours, "export": theirs}


def run(*command) -> None:
    ran = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},  # in float32 all the way
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]


@pytest.fixture(scope="module")
def expected(peers, models, data, tmp_path_factory):
    """{kind: what clip_benchmark finds}."""
    folder, found = tmp_path_factory.mktemp("theirs"), {}
    model = models["export"].replace("open_clip:", "local-dir:")
    for kind in METRICS:
        output = folder / f"{kind}.json"
        options = f"--no_amp --num_workers 0 --batch_size {THEIRS} --recall_k 1 5 10"
        run(
            *(peers, "-c", BENCHMARK, "eval", "--model", model, "--pretrained", ""),
            *("--task", f"zeroshot_{kind}", "--dataset", f"wds/{kind}"),
            *("--dataset_root", data / kind, "--output", output, *options.split()),
        )
        found[kind] = json.loads(output.read_text())["metrics"]
    return found


@pytest.mark.long
@pytest.mark.parametrize("which", ["run", "export"])
def test_all_metrics(models, data, expected, tmp_path, which):
    run(
        *(sys.executable, "-m", "vlp_jax.evaluate", f"--checkpoint={models[which]}"),
        *(f"--output={tmp_path}", "--config=configs/evaluate/clip_benchmark.py"),
        *(f"--config.data.root={data}", f"--config.batch_size={OURS}"),
    )
    for kind, names in METRICS.items():
        path = tmp_path / f"clip_benchmark-{kind}-test_zeroshot_{kind}.json"
        found = json.loads(path.read_text())["metrics"]
        assert set(found) == set(names) == set(expected[kind])
        assert found == pytest.approx(expected[kind], abs=1e-4)
        assert all(0 < value < 1 for value in found.values())

"""clip_benchmark's own evaluations and exports, for the embeddings of a test.

Runs in .venv-peers (install.sh): `python -m tests.peers.clip_benchmark_side TASK`. TASK
names a folder with arrays.npz. A picture is its embedding, a text the number of one.
"""

import json
import sys
import types
from pathlib import Path

import numpy as np

# As in benchmarks/peers/open_clip_step.py.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("empty")

import torch  # noqa: E402
from clip_benchmark import datasets, webdataset_builder  # noqa: E402
from clip_benchmark.datasets import voc2007  # noqa: E402
from clip_benchmark.metrics import (  # noqa: E402
    image_caption_selection,
    zeroshot_classification,
    zeroshot_retrieval,
)
from open_clip import zero_shot_metadata  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks.peers.side import serve  # noqa: E402

BATCH = 7


class Model:
    """The embeddings themselves."""

    def __init__(self, texts: np.ndarray):
        self.texts = torch.tensor(texts)

    def encode_image(self, images):
        return images.flatten(1)

    def encode_text(self, tokens):
        return self.texts[tokens]


def tokenize(texts) -> torch.Tensor:
    return torch.tensor([int(text) for text in texts])


class Batches(list):
    """A loader whose dataset has class names."""

    dataset = types.SimpleNamespace()


def batches(images, truth) -> Batches:
    return Batches(
        (torch.tensor(images[i : i + BATCH]), truth[i : i + BATCH])
        for i in range(0, len(images), BATCH)
    )


def retrieval(given) -> dict:
    owners = given["text_image"]
    captions = [
        [str(t) for t in np.flatnonzero(owners == i)] for i in range(owners.max() + 1)
    ]
    return zeroshot_retrieval.evaluate(
        Model(given["texts"]),
        batches(given["images"], captions),
        tokenize,
        "cpu",
        amp=False,
        recall_k_list=given["recall_at"].tolist(),
    )


def hits(given) -> dict:
    """Whether each row of a score matrix has a right answer among its first k."""
    scores, right = torch.tensor(given["scores"]), torch.tensor(given["is_hit"])
    found = {}
    for k in given["recall_at"].tolist():
        recalls = zeroshot_retrieval.recall_at_k(scores, right, k)
        found[str(k)] = (recalls > 0).tolist()
    return found


def classification(given) -> dict:
    classes = [str(number) for number in range(len(given["classes"]))]
    loader = batches(given["images"], torch.tensor(given["truth"]))
    loader.dataset.classes = classes
    model = Model(given["classes"])
    return zeroshot_classification.evaluate(
        model, loader, tokenize, classes, ["{c}"], "cpu", amp=False
    )


def selection(given) -> dict:
    texts = given["texts"]
    count = texts.shape[1]
    captions = [[str(count * n + c) for c in range(count)] for n in range(len(texts))]
    return image_caption_selection.evaluate(
        Model(texts.reshape(-1, texts.shape[-1])),
        batches(given["images"][:, :, None, None], captions),
        tokenize,
        "cpu",
        amp=False,
    )


class Exported:
    """Three pictures with the truth of a type, as a torch dataset."""

    classes, templates = ["cat", "dog"], ["a {c}", "{c}s"]
    truths = {
        "classification": [0, 1, 1],
        "multilabel": [torch.tensor(x) for x in ([1, 0], [0, 0], [1, 1])],
        "retrieval": [["a cat", "", "black"], [], [" two", "of  them", "e\u0301"]],
    }

    def __init__(self, kind: str):
        self.truth = self.truths[kind]
        self.encode = webdataset_builder.PIL_to_bytes("png")

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int):
        if index >= 3:
            raise IndexError
        colour = ("red", "green", "blue")[index]
        return self.encode(Image.new("RGB", (8, 8), colour)), self.truth[index]


def export(folder: Path) -> dict:
    options = dict(image_format="png", max_count=2, verbose=False)
    for kind in Exported.truths:
        root = str(folder / kind)
        if kind == "retrieval":
            webdataset_builder.convert_retrieval_dataset(
                Exported(kind), "test", root, **options
            )
        else:
            webdataset_builder.convert_dataset(
                Exported(kind), "test", root, multilabel=kind == "multilabel", **options
            )
    return {}


def words() -> dict:
    """The templates and class names that the peers use, by their names of the sets."""
    folder = Path(datasets.__file__).parent
    templates, names = (
        json.loads((folder / f"en_{part}.json").read_text(encoding="utf-8"))
        for part in ("zeroshot_classification_templates", "classnames")
    )
    names["voc2007"] = voc2007.object_categories
    names["open_clip"] = zero_shot_metadata.IMAGENET_CLASSNAMES
    for size in ("OPENAI", "SIMPLE"):
        made = getattr(zero_shot_metadata, f"{size}_IMAGENET_TEMPLATES")
        templates[size] = [template("{c}") for template in made]
    return {"templates": templates, "names": names}


EVALUATIONS = {
    "retrieval": retrieval,
    "hits": hits,
    "classification": classification,
    "selection": selection,
}


def main() -> None:
    folder = Path(json.loads(sys.argv[1])["folder"])

    def answer(evaluate):
        def run() -> dict:
            with np.load(folder / "arrays.npz") as given:
                return evaluate(given)

        return run

    answers = {name: answer(evaluate) for name, evaluate in EVALUATIONS.items()}
    serve({}, answers | {"export": lambda: quietly(export, folder), "words": words})


def quietly(function, *args) -> dict:
    """What it prints goes to stderr: stdout is for answers."""
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        return function(*args)
    finally:
        sys.stdout = out


if __name__ == "__main__":
    main()

"""Small datasets of TFDS: captions, classes, pairs of all sorts, and texts alone."""

import io

import numpy as np
import tensorflow_datasets as tfds

from tests.data.sources.conftest import jpeg
from tests.data.sources.prepared import Prepared


def picture(index: int) -> io.BytesIO:
    return io.BytesIO(jpeg(index))


def captioned(index: int, *texts) -> dict:
    """As coco_captions has it."""
    return {
        "image": picture(index),
        "image/filename": f"COCO_{index}.jpg",
        "image/id": index,
        "captions": [{"id": k, "text": text} for k, text in enumerate(texts)],
        "objects": [{"bbox": tfds.features.BBox(0.1, 0.2, 0.3, 0.4), "label": "cat"}],
    }


class TinyCaptions(Prepared):
    FEATURES = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "image/filename": tfds.features.Text(),
        "image/id": np.int64,
        "captions": tfds.features.Sequence({"id": np.int64, "text": np.object_}),
        "objects": tfds.features.Sequence(
            {
                "bbox": tfds.features.BBoxFeature(),
                "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            }
        ),
    }
    EXAMPLES = {
        "train": [captioned(k, f"a {k}", f"one {k} ") for k in range(6)],
        "val": [
            captioned(6, b"caf\xe9"),
            captioned(7, " "),
            captioned(8),
            captioned(9, "", "ü"),
        ],
    }


class TinyClasses(Prepared):
    FEATURES = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "label": tfds.features.ClassLabel(names=["n01440764", "n01443537", "big_dog"]),
        "kind": tfds.features.ClassLabel(names=["a", "b"]),
    }
    EXAMPLES = {
        "train": [
            {"image": picture(k), "label": k % 3, "kind": k % 2} for k in range(5)
        ],
        "test": [{"image": picture(5), "label": -1, "kind": 0}],
    }


class TinyPairs(Prepared):
    """Two pictures, two texts and no class: nothing can be guessed."""

    FEATURES = {
        "first": tfds.features.Image(encoding_format="jpeg"),
        "second": tfds.features.Image(encoding_format="jpeg"),
        "texts": {"title": tfds.features.Text(), "caption": tfds.features.Text()},
        "notes": {"text": tfds.features.Sequence(tfds.features.Text())},
    }
    EXAMPLES = {
        "train": [
            {
                "first": picture(k),
                "second": picture(k + 1),
                "texts": {"title": f"title {k}", "caption": f"caption {k}"},
                "notes": {"text": ["x", "y"]},
            }
            for k in range(2)
        ]
    }


class TinyTexts(Prepared):
    FEATURES = {"question": tfds.features.Text(), "id": np.int64}
    EXAMPLES = {"train": [{"question": "what?", "id": 1}]}

"""An Example without its picture as JSON, and back: what `prepare` puts into shards.

  {"vlp_jax": "1", "captions": [...], "caption_weights": [...], "label": 3,
   "labels": [3, 5], "negatives": [...], "negative_kinds": [...], "name": "",
   "questions": [{"question": "", "answers": [...], "id": ""}],
   "regions": [{"box": [x0, y0, x1, y1], "label": 3, "mask": {"size": [H, W],
                "counts": [...]}}]}

Keys without a value are left out. Masks are COCO's uncompressed run lengths: of zeros
and ones in turn, from the top of the first column down.
"""

import math
from typing import Any

import numpy as np

from vlp_jax.core.types import Example, Question, Region
from vlp_jax.data.transforms.image import MAX_PIXELS

MARK, VERSION = "vlp_jax", "1"


def to_json(example: Example) -> dict[str, Any]:
    """The dictionary above."""
    content = {
        MARK: VERSION,
        "captions": list(example.captions),
        "caption_weights": [float(w) for w in example.caption_weights],
        "negatives": list(example.negatives),
        "negative_kinds": list(example.negative_kinds),
        "label": None if example.label is None else int(example.label),
        "questions": [
            {"question": q.text, "answers": list(q.answers), "id": q.id}
            for q in example.questions
        ],
        "regions": [_region_to_json(region) for region in example.regions],
        "name": example.name,
    }
    content = {k: v for k, v in content.items() if v not in ([], "", None)}
    if example.labels is not None:  # none of the classes is something else than unknown
        content["labels"] = [int(label) for label in example.labels]
    return content


def from_json(content: dict[str, Any]) -> dict[str, Any]:
    """Keywords of an Example; ValueError where the content is not as written."""
    try:
        if content[MARK] != VERSION:
            raise ValueError(f"its form is {content[MARK]!r}; known: {VERSION!r}")
        label = content.get("label")
        labels = content.get("labels")
        weights = tuple(float(w) for w in content.get("caption_weights", ()))
        found = {
            "captions": _strings(content.get("captions", ())),
            "caption_weights": weights,
            "negatives": _strings(content.get("negatives", ())),
            "negative_kinds": _strings(content.get("negative_kinds", ())),
            "label": None if label is None else int(label),
            "labels": None if labels is None else tuple(map(int, labels)),
            "questions": tuple(
                Question(str(q["question"]), _strings(q["answers"]), str(q["id"]))
                for q in content.get("questions", ())
            ),
            "regions": _regions_from_json(content.get("regions", ())),
        }
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    kinds, negatives = found["negative_kinds"], found["negatives"]
    if kinds and len(kinds) != len(negatives):
        raise ValueError("as many negative_kinds as negatives are expected")
    if weights and len(weights) != len(found["captions"]):
        raise ValueError("as many caption_weights as captions are expected")
    if weights and not (min(weights) >= 0 and 0 < sum(weights) < math.inf):
        raise ValueError(f"caption_weights {weights}")
    return found


def _strings(values: list) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(text, str) for text in values):
        raise ValueError(f"{str(values)[:40]!r} is no list of texts")
    return tuple(values)


def _region_to_json(region: Region) -> dict[str, Any]:
    box = [int(side) for side in region.box]
    content = {"box": box, "label": int(region.label)}
    if region.mask is not None:
        content["mask"] = {
            "size": list(region.mask.shape),
            "counts": run_lengths(region.mask),
        }
    return content


def _regions_from_json(regions: list) -> tuple[Region, ...]:
    masks = [region["mask"]["size"] for region in regions if region.get("mask")]
    if sum(abs(int(height) * int(width)) for height, width in masks) > MAX_PIXELS:
        raise ValueError(f"masks of more than {MAX_PIXELS:,} pixels")
    return tuple(map(_region_from_json, regions))


def _region_from_json(content: dict[str, Any]) -> Region:
    x0, y0, x1, y1 = (int(side) for side in content["box"])
    mask = content.get("mask")
    if mask is not None:
        mask = from_run_lengths(mask["counts"], mask["size"])
    return Region((x0, y0, x1, y1), int(content["label"]), mask)


def run_lengths(mask: np.ndarray) -> list[int]:
    """Of a bool [H, W]: how many zeros, then ones, then zeros, ... column by column."""
    flat = np.concatenate([[False], mask.astype(bool).ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()


def from_run_lengths(counts: list[int], size: list[int]) -> np.ndarray:
    """bool [H, W]; ValueError where the lengths do not fill it."""
    height, width = (int(side) for side in size)
    if not 0 <= height * width <= MAX_PIXELS:
        raise ValueError(f"a mask of size {size}")
    # Python's numbers do not overflow in a sum.
    lengths = [count for count in counts if isinstance(count, int) and count >= 0]
    if len(lengths) < len(counts) or sum(lengths) != height * width:
        raise ValueError("run lengths that do not fill their mask")
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return flat.reshape((height, width), order="F")

"""Features as columns: what a shard holds, in whatever format it is written.

  index            int64    [n]     of the sample in its source
  name             str      [n]     of the sample, as the source has it
  image_embedding  float32  [n, E]  of length one
  label            int64    [n]     its class; -1: it has none
  labels           int64    [l]     the classes of all samples, one after another
  labels_count     int64    [n]     how many of them each sample has
  captions         str      [c]     the captions of all samples, one after another
  captions_count   int64    [n]     how many of them each sample has
  text_embedding   float32  [c, E]  of every caption, of length one

Columns of several files are put together by concatenation. What a dataset has not (a
label, captions) is no column.
"""

from collections.abc import Sequence

import numpy as np

from vlp_jax.core.types import Example

Columns = dict[str, np.ndarray]

# Those with any number of rows a sample, and the column that says how many.
COUNTED = {
    "labels": "labels_count",
    "captions": "captions_count",
    "text_embedding": "captions_count",
}
OF_COUNT = {"labels_count": "labels", "captions_count": "captions"}
TEXTS = ("name", "captions")


def keys_of(
    examples: Sequence[Example], class_names: Sequence[str], texts: bool
) -> tuple[str, ...]:
    """The columns of a source, by some of its examples and by its class names."""
    keys = ["index", "name", "image_embedding"]
    if len(class_names) or any(one.label is not None for one in examples):
        keys.append("label")
    if any(one.labels is not None for one in examples):
        keys += ["labels", "labels_count"]
    if any(one.captions for one in examples):
        keys += ["captions", "captions_count"]
        keys += ["text_embedding"] if texts else []
    return tuple(keys)


def unforeseen(example: Example, keys: Sequence[str]) -> str:
    """What an example has that no column is there for; '' for nothing."""
    own = keys_of([example], (), texts=False)
    return ", ".join(key for key in own if key not in keys)


def form_of(key: str, width: int) -> dict[str, str | list]:
    """{'dtype': 'float32', 'shape': ['samples', 512]}, for the manifest."""
    counted = COUNTED.get(key)
    rows = counted.removesuffix("_count") if counted else "samples"
    floats = key.endswith("_embedding")
    dtype = "str" if key in TEXTS else "float32" if floats else "int64"
    return {"dtype": dtype, "shape": [rows, width] if floats else [rows]}


def columns_of(samples: Sequence[tuple[int, Example]], keys: Sequence[str]) -> Columns:
    """All columns of samples, (index, example), but for their embeddings."""
    examples = [example for _, example in samples]
    labels = [-1 if one.label is None else one.label for one in examples]
    several = [one.labels or () for one in examples]
    captions = [one.captions for one in examples]
    found = {
        "index": _integers(index for index, _ in samples),
        "name": _texts(one.name for one in examples),
        "label": _integers(labels),
        "labels": _integers(x for some in several for x in some),
        "labels_count": _integers(map(len, several)),
        "captions": _texts(text for some in captions for text in some),
        "captions_count": _integers(map(len, captions)),
    }
    return {key: found[key] for key in keys if key in found}


def _integers(values) -> np.ndarray:
    return np.array([int(value) for value in values], np.int64)


def _texts(values) -> np.ndarray:
    """Whatever no UTF-8 can hold, as odd file names have it, is written out."""
    clean = [text.encode("utf-8", "backslashreplace").decode() for text in values]
    return np.array(clean, np.str_) if clean else np.zeros(0, "<U1")


def parts(columns: Columns, key: str) -> list[np.ndarray]:
    """The rows of a counted column, by sample."""
    return np.split(columns[key], np.cumsum(columns[COUNTED[key]])[:-1])


def joined(shards: Sequence[Columns]) -> Columns:
    """The columns of several shards as those of one."""
    return {key: np.concatenate([one[key] for one in shards]) for key in shards[0]}

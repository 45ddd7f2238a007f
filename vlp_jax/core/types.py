"""The contracts between the parts. Everything else meets in build.py.

Batch: {stream: {key: array}}. A stream is one kind of supervision: `pairs` of a
picture and a caption, `questions` about a picture, `contrasts` of a picture and a
caption that may be wrong, `labels` of a picture and its class, `texts` of a text and
its class. Its arrays share their first axis, the global batch B of the stream:
  image          uint8   [B, H, W, 3]  RGB, normalised on the device
  text_tokens    int32   [B, L]        the caption, or the question
  text_mask      bool    [B, L]        True where a token is not padding
  valid          bool    [B]           False for rows that only fill up a batch
  sample_id      int32   [B]           index of the sample within its source
and those of `questions` also
  answer_tokens  int32   [B, A]        one of the answers
  answer_mask    bool    [B, A]
  answer_labels  int32   [B, 10]       answers that are classes; -1: none
  answer_scores  float32 [B, 10]       how right each of them is, in 0..1
and those of `contrasts`
  fits           bool    [B]           whether the caption is right
and those of `labels` and `texts`, which lack the text and the picture,
  label          int32   [B]           the class, by its number in config.class_names
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import jax
import numpy as np

PyTree = Any
Batch = dict[str, dict[str, jax.Array]]

_TEXT, _OF_ANY_STREAM = ("text_tokens", "text_mask"), ("valid", "sample_id")
_PAIR = ("image", *_TEXT, *_OF_ANY_STREAM)
STREAMS = {
    "pairs": _PAIR,
    "questions": (
        *_PAIR,
        *("answer_tokens", "answer_mask", "answer_labels", "answer_scores"),
    ),
    "contrasts": (*_PAIR, "fits"),
    "labels": ("image", "label", *_OF_ANY_STREAM),
    "texts": (*_TEXT, "label", *_OF_ANY_STREAM),
}


@dataclasses.dataclass(frozen=True)
class Region:
    """One object in an image: box (x0, y0, x1, y1) in pixels, class, optional mask."""

    box: tuple[int, int, int, int]
    label: int
    mask: np.ndarray | None = None  # bool [H, W]


class Question(NamedTuple):
    """A question about an image, and the answers that people gave to it."""

    text: str
    answers: tuple[str, ...]  # VQAv2 has ten, most other sets one
    id: str = ""  # where the set numbers its questions


@dataclasses.dataclass(frozen=True)
class Example:
    """One sample: an encoded image (or a uint8 array [H, W, 3]) and what is true.

    caption_weights: how often each caption is drawn in training; (): all alike.
    negatives: the first caption, nearly right, and wrong; negative_kinds: what is wrong
    with each ('colour'), where the source knows.
    labels: all of its classes, where a picture may have any number; None: not told.
    """

    image: bytes | np.ndarray
    captions: tuple[str, ...] = ()
    caption_weights: tuple[float, ...] = ()
    negatives: tuple[str, ...] = ()
    negative_kinds: tuple[str, ...] = ()
    label: int | None = None
    labels: tuple[int, ...] | None = None
    questions: tuple[Question, ...] = ()
    regions: tuple[Region, ...] = ()
    name: str = ""


class Source(Protocol):
    """Random access to examples.

    `source[i]` raises BadSample when example i cannot be read. `class_names` names
    the labels; it is empty when the source has none. Where the data come with prompts
    for their classes, `templates` holds them ('{}' stands for the class), or the
    name of a set in evaluation/assets/templates.json. A source that leaves something
    out when it is opened counts it by cause in a Counter `dropped`.
    Reading is safe from several threads, and a source can be pickled.

    Two methods are optional. `questions(index)` gives the questions of an example
    without reading its picture. `check_caption(index, caption)` tells whether a caption
    names all that the picture shows and nothing else, where the source knows that
    exactly (digit_scenes: every digit with its colour).

    `fingerprint` tells whether the data are those of an earlier run: {part: digest}
    of the files it rests on (shards, tables) by their names, whatever folder they are
    in. Samples may not move to another index while it stays the same.
    """

    name: str
    class_names: Sequence[str]
    fingerprint: Mapping[str, str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


@dataclasses.dataclass(frozen=True, order=True)
class Need:
    """A value an objective asks for: a model output or an array of the batch.

    `parameters` names the weights it is computed under: 'live' or 'momentum', the
    moving average that the train state keeps where an objective asks for it.
    """

    name: str
    stream: str = "pairs"
    parameters: str = "live"


Outputs = Mapping[Need, jax.Array]
# {name: function}; its parameters name what the value is derived from, and `key`
Derived = Mapping[str, Callable[..., Any]] | None


@dataclasses.dataclass(frozen=True)
class Term:
    """What an objective returns: `total / count` is its loss.

    total, count: float32 scalars, summed over the batch the objective saw.
    metrics: scalars to log. state: the objective's own state after this step.
    """

    total: jax.Array
    count: jax.Array
    metrics: dict[str, jax.Array] = dataclasses.field(default_factory=dict)
    state: PyTree = ()


class Objective(Protocol):
    """A loss that declares what it needs; the step computes it.

    `scope` is 'global' when the objective must see the whole batch at once (its
    negatives are the batch) and 'micro' when it may be summed over micro-batches. So
    far accumulation pools the outputs for both, which is right for both.

    An attribute `derived` may hold values that the model is to be given: a function
    each, whose parameters name what it is computed from. Of them, and of outputs, a
    micro-batch makes its own.
    """

    needs: tuple[Need, ...]
    scope: Literal["global", "micro"]

    def initial_state(self) -> PyTree: ...

    def __call__(self, outputs: Outputs, step: jax.Array, state: PyTree) -> Term: ...


# (variables, needs, batch, key) -> (outputs, variables other than params)
ComputeOutputs = Callable[..., tuple[dict[Need, jax.Array], dict[str, PyTree]]]


class Predictor(Protocol):
    """A trained model as evaluators see it.

    prepare_image: Example.image -> uint8 [S, S, 3]; raises BadSample. Any n will do;
    multiples of `batch_size` waste nothing. What a model may be able to do (`can`):
      'embed'     encode_image: n prepared pictures, encode_text: n strings ->
                  L2-normalised float32 [n, E]
      'match'     match: tokens [n, N, W] of image_tokens and n strings -> float32 [n],
                  the probability that they belong together
      'attend'    attention_map: a picture, a text, a word of it -> float32 [h, w], what
                  in the picture speaks for the word
      'generate'  generate: n pictures -> n captions; beams, length and the other
                  settings of models/decoding.py, and a prompt
      'answer'    answer: n pictures and n questions -> n answers, one of `candidates`
                  where they are given
      'classify'  classify: n pictures, and prompts of classes -> float32 [n, classes]
      'classify_text'  classify_text: n texts -> float32 [n, classes]
      'context'   its texts may have learned words (core/class_prompts.py)
    class_names: those of its classes, where it was trained to tell any.
    """

    batch_size: int

    def can(self, ability: str) -> bool: ...

    def prepare_image(self, image: Any) -> np.ndarray: ...

    def encode_image(self, images: np.ndarray) -> np.ndarray: ...

    def encode_text(self, texts: Sequence[str]) -> np.ndarray: ...

    def classify(
        self, images: np.ndarray, prompts: Sequence[str] = ()
    ) -> np.ndarray: ...

    def classify_text(self, texts: Sequence[str]) -> np.ndarray: ...

    def image_tokens(self, pictures: np.ndarray) -> np.ndarray: ...

    def match(self, image_tokens: np.ndarray, texts: Sequence[str]) -> np.ndarray: ...

    def attention_map(
        self, picture: np.ndarray, text: str, word: str
    ) -> np.ndarray: ...

    def generate(self, pictures: np.ndarray, **decoding: Any) -> list[str]: ...

    def answer(
        self,
        pictures: np.ndarray,
        questions: Sequence[str],
        candidates: Sequence[str] | None = None,
    ) -> list[str]: ...


@dataclasses.dataclass(frozen=True)
class Report:
    """What an evaluator found.

    metrics: name -> float, named as clip_benchmark names them. details: what the
    HTML report draws (galleries, confusion matrix); its form belongs to the task.
    """

    task: str
    dataset: str
    metrics: dict[str, float]
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


class Evaluator(Protocol):
    """A task on a source, with metrics named as the field names them.

    One that learns from examples has a second source `train`.
    """

    source: Source

    def run(self, predictor: Predictor) -> Report: ...

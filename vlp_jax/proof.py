"""A port proves itself: both sides run on the same pictures and captions.

The pictures come with scikit-learn: two photographs, cut in several ways, and digit
scenes; among the captions are one that is too long, one of a word, and one in Chinese.
"""

import dataclasses
import importlib.util
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vlp_jax import build, endpoints
from vlp_jax.core.errors import RunError
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.models import PARTS
from vlp_jax.models.outputs import inference, method_of
from vlp_jax.portable import Portable
from vlp_jax.porting.theirs import RUN, Computed

LONG = "a photo of a temple between trees, " * 40
CAPTIONS = (
    "a temple with a curved roof under a blue sky",
    "a pink flower on dark green leaves",
    "Flower!",
    "two   spaces, UPPER case & a tab\tin between",
    "一朵粉红色的花",
    LONG,
)
SCENES = 8
# Tokenizers there always do that first, as is done with captions to train on.
JOIN_WHITESPACE = ("open_clip",)
SIDES = {
    "hf": "transformers",
    "open_clip": "open_clip",
    "export": "the exported programs",
}
TOLERANCE = 1e-5  # of outputs, relative to the largest value
# What a model is proved by, of what it has: its outputs, and what people call them.
OUTPUTS = {
    "image_embedding": "embeddings",
    "text_embedding": "embeddings",
    "match": "scores of a match",
    "masked_lm_logits": "scores of words",
    "caption_logits": "scores of next words",
    "answer_logits": "scores of answers",
    "answer_token_logits": "scores of next words",
}
EMBEDDINGS = ("image_embedding", "text_embedding")


@dataclasses.dataclass(frozen=True)
class Proof:
    """How far apart the two sides are.

    side: what computed the other one. differences: of outputs, by a name of OUTPUTS:
    the largest over the largest absolute value. logits: the same of how alike pictures
    and texts are, where there are embeddings. same_tokens: texts with the same ids.
    top1: the share of pictures with the same best caption or, without embeddings, of
    scores with the same largest one. prepared: how the pictures were prepared there,
    where a format cannot say what the model's own preprocessing is.
    """

    side: str
    differences: dict[str, float]
    same_tokens: tuple[int, int]
    top1: float
    logits: float | None = None
    prepared: str = ""

    @property
    def holds(self) -> bool:
        same, all_of_them = self.same_tokens
        near = all(x <= TOLERANCE for x in self.differences.values())
        return near and same == all_of_them and self.top1 == 1

    def lines(self) -> list[str]:
        same, all_of_them = self.same_tokens
        told = [f"{what} differ by {x:.1e}" for what, x in self.differences.items()]
        best = "scores the same largest one"
        if self.logits is not None:
            told.append(f"logits by {self.logits:.1e}")
            best = "pictures the same best caption"
        return [
            f"computed by {self.side}",
            f"{', '.join(told)} at most (relative to the largest)",
            f"{same} of {all_of_them} texts have the same tokens; {self.top1:.0%} of "
            f"the {best}",
            *([f"pictures are prepared with {self.prepared}"] if self.prepared else []),
        ]


def samples(kind: str = "") -> tuple[list[np.ndarray], list[str]]:
    """Real pictures of several shapes, and as many captions as a format can take them.

    The first have nothing to do with each other; the scenes are as their captions say.
    """
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images
    pictures = [china, flower, china[:300, 100:260], flower[100:220, :500]]
    # Whose crop depends on how half a pixel is rounded, at 224 pixels and others.
    pictures += [china[100:206, 200:340], flower]
    scenes = DigitScenes(split="test", size=SCENES)
    examples = [scenes[index] for index in range(SCENES)]
    texts = [*CAPTIONS, *(example.captions[0] for example in examples)]
    if kind in JOIN_WHITESPACE:
        texts = [" ".join(text.split()) for text in texts]
    return pictures + [example.image for example in examples], texts


def ours(model: Portable, kind: str = "") -> Computed:
    """What this package computes, on one device: all of OUTPUTS that the model has."""
    pictures, texts = samples(kind)
    prepare, module = build.make_preprocessing(model.config), model.model()
    tokens, mask = model.tokenizer(texts)
    arrays = {
        "image": np.stack([prepare(picture) for picture in pictures]),
        "text_tokens": tokens,
        "text_mask": mask,
        "masked_tokens": tokens,  # every word in sight: as good as any other text
        "answer_tokens": tokens,
        "answer_mask": mask,
    }
    names = [name for name in OUTPUTS if method_of(module, name)]

    @jax.jit
    def run(variables, arrays):
        return {name: inference(module, name)(variables, **arrays) for name in names}

    found = run(model.variables(), jax.tree.map(jnp.asarray, arrays))
    return Computed({k: np.asarray(x) for k, x in found.items()}, tokens, mask)


def compare(side: str, model: Portable, one: Computed, other: Computed) -> Proof:
    """How far `other`, computed by `side`, is from `one`, in what both have computed.

    Padding has other ids in some libraries; where a model sees it, its outputs tell.
    """
    names = [name for name in one.outputs if name in other.outputs]
    if not names:
        raise RunError(
            f"{side} computes {', '.join(other.outputs)} and this package "
            f"{', '.join(one.outputs)}: nothing to compare; please report it"
        )
    differences: dict[str, float] = {}
    scores = [
        [_seen(x.outputs[name], one.mask) for x in (one, other)] for name in names
    ]
    for name, both in zip(names, scores, strict=True):
        found = max(_difference(*both), differences.get(OUTPUTS[name], 0.0))
        differences[OUTPUTS[name]] = found
    logits = None
    if set(EMBEDDINGS) <= set(names):
        scores = [[_logits(model, x) for x in (one, other)]]
        logits = _difference(*scores[0])
    best = [a.argmax(-1) == b.argmax(-1) for a, b in scores]
    ignored = False if one.mask is None else ~one.mask
    same = (ignored | (one.tokens == other.tokens)).all(axis=1)
    return Proof(
        side=side,
        differences=differences,
        logits=logits,
        same_tokens=(int(same.sum()), len(same)),
        top1=float(min(x.mean() for x in best)),
        prepared=other.prepared,
    )


def _seen(output: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """An output of the model, zero for padding if it is one for each token."""
    if mask is None or output.ndim < 3:
        return output
    return np.where(mask[..., None], output, 0)


def _logits(model: Portable, computed: Computed) -> np.ndarray:
    """How alike every picture and every text are, to the model."""
    image, text = (computed.outputs[name] for name in EMBEDDINGS)
    scale = float(np.exp(model.parameters.get("logit_scale", 0.0)))
    return scale * image @ text.T + float(model.parameters.get("logit_bias", 0.0))


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """max |difference| / max |value|."""
    return float(np.abs(one - other).max() / np.abs(one).max())


def prove(kind: str, folder: Path, model: Portable) -> list[Proof]:
    """What was written, read back by us, and run by its own library if that is here.

    Pictures are prepared as the folder says (see `Proof.prepared`). RunError where it
    does not hold the same numbers to the last bit, or does not load.
    """
    if kind not in endpoints.READ and kind != "vlp":
        return against(kind, folder, model, ours(model))
    again = endpoints.read(f"{kind}:{folder}")
    changed = changed_parameters(model, again)
    if changed:
        raise RunError(
            f"{folder} does not hold what was read: {', '.join(changed[:3])}; this is "
            "a bug, please report it"
        )
    expected = ours(_exact(model, again.config.preprocessing), kind)
    proofs = [compare("this package", model, expected, ours(_exact(again), kind))]
    proofs += against(kind, folder, model, expected)
    prepared = prepared_otherwise(model, again)
    return [
        dataclasses.replace(found, prepared=found.prepared or prepared)
        for found in proofs
    ]


def against(
    kind: str, folder: Path, model: Portable, expected: Computed | None = None
) -> list[Proof]:
    """A folder, run by its own library; nothing where that is not here.

    expected: what this package computes with the model. RunError where the library
    does not load the folder.
    """
    if kind not in RUN:
        return []
    try:
        found = RUN[kind](folder, *samples(kind))
    except ImportError:
        return []
    except Exception as error:  # whatever is raised over there
        said = " ".join(str(error).split())[:200]
        raise RunError(f"{SIDES[kind]} does not run {folder}: {said}") from error
    return [compare(SIDES[kind], model, expected or ours(_exact(model), kind), found)]


def missing(kind: str) -> list[str]:
    """The packages of a format's own library that are not installed here."""
    packages = ("torch", SIDES[kind])
    return [name for name in packages if importlib.util.find_spec(name) is None]


def prepared_otherwise(model: Portable, again: Portable) -> str:
    """The settings of preprocessing that a format has no word for; '' for none."""
    here, there = model.config.preprocessing, again.config.preprocessing
    return ", ".join(
        f"{key} {there[key]!r} in place of {here[key]!r}"
        for key in here
        if json.dumps(here[key]) != json.dumps(there[key])
    )


def _exact(model: Portable, preprocessing: ConfigDict | None = None) -> Portable:
    """The same computed in float32, maybe with other preprocessing."""
    config = model.config.copy_and_resolve_references()
    for part in (config.model[name] for name in PARTS):
        if part.get("dtype") is not None:
            part.dtype = "float32"
    if preprocessing is not None:
        config.preprocessing = preprocessing
    return dataclasses.replace(model, config=config)


def changed_parameters(one: Portable, other: Portable) -> list[str]:
    """Paths of the parameters that are not the same to the last bit."""
    paths = one.parameters.keys() | other.parameters.keys()
    return sorted(
        path
        for path in paths
        if path not in one.parameters
        or path not in other.parameters
        or not np.array_equal(one.parameters[path], other.parameters[path])
    )

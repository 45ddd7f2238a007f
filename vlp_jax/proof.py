"""A port proves itself: both sides run on the same pictures and captions.

The pictures come with scikit-learn: two photographs, cut in several ways, and digit
scenes; among the captions are one that is too long, one of a word, and one in Chinese.
"""

import dataclasses
import importlib.util
import json
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from vlp_jax import endpoints
from vlp_jax.core.errors import RunError
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.portable import Portable
from vlp_jax.porting.theirs import RUN, Embeddings

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
TOLERANCE = 1e-5  # of embeddings, relative to the largest value


@dataclasses.dataclass(frozen=True)
class Proof:
    """How far apart the two sides are.

    side: what computed the other one. embeddings, logits: the largest difference over
    the largest absolute value. same_tokens: texts with the same ids. top1: the share
    of pictures with the same best caption. prepared: how the pictures were prepared
    there, where a format cannot say what the model's own preprocessing is.
    """

    side: str
    embeddings: float
    logits: float
    same_tokens: tuple[int, int]
    top1: float
    prepared: str = ""

    @property
    def holds(self) -> bool:
        same, all_of_them = self.same_tokens
        return self.embeddings <= TOLERANCE and same == all_of_them and self.top1 == 1

    def lines(self) -> list[str]:
        same, all_of_them = self.same_tokens
        return [
            f"computed by {self.side}",
            f"embeddings differ by {self.embeddings:.1e} at most, logits by "
            f"{self.logits:.1e} (relative to the largest)",
            f"{same} of {all_of_them} texts have the same tokens; {self.top1:.0%} of "
            "the pictures the same best caption",
            *([f"pictures are prepared with {self.prepared}"] if self.prepared else []),
        ]


def samples(kind: str = "") -> tuple[list[np.ndarray], list[str]]:
    """Real pictures of several shapes, and captions as a format can take them."""
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images
    pictures = [china, flower, china[:300, 100:260], flower[100:220, :500]]
    # Whose crop depends on how half a pixel is rounded, at 224 pixels and others.
    pictures.append(china[100:206, 200:340])
    scenes = DigitScenes(split="test", size=SCENES)
    examples = [scenes[index] for index in range(SCENES)]
    texts = [*CAPTIONS, *(example.captions[0] for example in examples)]
    if kind in JOIN_WHITESPACE:
        texts = [" ".join(text.split()) for text in texts]
    return pictures + [example.image for example in examples], texts


def ours(model: Portable, kind: str = "") -> Embeddings:
    """What this package computes, on one device."""
    mesh = jax.sharding.Mesh(
        np.array(jax.local_devices()[:1]).reshape(1, 1, 1), ("data", "fsdp", "tensor")
    )
    predictor = model.predictor(mesh, batch_size=16)
    pictures, texts = samples(kind)
    prepared = np.stack([predictor.prepare_image(picture) for picture in pictures])
    return Embeddings(
        predictor.encode_image(prepared),
        predictor.encode_text(texts),
        *model.tokenizer(texts),
    )


def compare(side: str, model: Portable, one: Embeddings, other: Embeddings) -> Proof:
    """How far `other`, computed by `side`, is from `one`.

    Padding has other ids in some libraries; where a model sees it, its embeddings tell.
    """
    scale = float(np.exp(model.parameters["logit_scale"]))
    bias = float(model.parameters.get("logit_bias", 0.0))
    logits = [scale * x.image @ x.text.T + bias for x in (one, other)]
    ignored = False if one.mask is None else ~one.mask
    same = (ignored | (one.tokens == other.tokens)).all(axis=1)
    return Proof(
        side=side,
        embeddings=max(
            _difference(a, b)
            for a, b in ((one.image, other.image), (one.text, other.text))
        ),
        logits=_difference(*logits),
        same_tokens=(int(same.sum()), len(same)),
        top1=float((logits[0].argmax(1) == logits[1].argmax(1)).mean()),
    )


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
    return [dataclasses.replace(found, prepared=prepared) for found in proofs]


def against(
    kind: str, folder: Path, model: Portable, expected: Embeddings | None = None
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
    config.model.image.dtype = config.model.text.dtype = "float32"
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

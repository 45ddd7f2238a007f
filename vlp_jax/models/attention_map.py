"""Where a model looks for each word of a text: Grad-CAM on its cross-attention."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, UInt8

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.types import PyTree
from vlp_jax.models.layers import SHOWN
from vlp_jax.models.outputs import inference

# Parts of a model in which a text looks at a picture before they are matched.
LOOKING = ("fusion", "text")
CROSS = "/cross_attention/query/kernel"


def cross_attentions(variables: dict[str, PyTree]) -> list[str]:
    """Paths of the attention of texts over pictures, from the first layer on."""
    paths = trees.flatten(variables["params"])
    for part in LOOKING:
        found = [p for p in paths if p.startswith(f"{part}/") and p.endswith(CROSS)]
        if found:
            found.sort(key=lambda path: (len(path), path))  # block_10 after block_9
            return [path.removesuffix("/query/kernel") for path in found]
    return []


def relevance(
    model: nn.Module,
    variables: dict[str, PyTree],
    path: str,
    image: UInt8[Array, "batch height column 3"],
    text_tokens: Int[Array, "batch token"],
    text_mask: Bool[Array, "batch token"],
) -> Float[Array, "batch token patch"]:
    """How much each image token speaks for a match, by each token of the text.

    The weights of the cross-attention at `path`, times what the logit of a match gains
    by them where it does, as a mean over heads (Selvaraju et al. 2017,
    arXiv:1610.02391; so Li et al. 2021, arXiv:2107.07651, show ALBEF's attention).
    """
    model, heads = _unrolled(model, path)
    image_tokens = inference(model, "image_tokens")(variables, image=image)
    (batch, tokens), patches = text_tokens.shape, image_tokens.shape[1]
    change = jnp.zeros((batch, heads, tokens, patches))

    def match(change):
        collections = {**variables, SHOWN: trees.unflatten({f"{path}/weights": change})}
        logits, seen = model.apply(
            collections,
            image_tokens=image_tokens,
            text_tokens=text_tokens,
            text_mask=text_mask,
            method="match",
            mutable=[SHOWN],
        )
        (weights,) = jax.tree.leaves(seen[SHOWN])
        return logits[:, 1].sum(), weights

    gradient, weights = jax.grad(match, has_aux=True)(change)
    return (weights * jax.nn.relu(gradient)).mean(axis=1)


def _unrolled(model: nn.Module, path: str) -> tuple[nn.Module, int]:
    """The same model with layers that can be looked into one by one; its heads."""
    part = path.split("/")[0]
    tower = getattr(model, part)
    plain = tower.clone(scan=False, remat="none", attention="xla")
    return model.clone(**{part: plain}), tower.heads


def layer_at(variables: dict[str, PyTree], layer: int | None, who: str) -> str:
    """The path of a cross-attention; None: the middle one, ALBEF's third of six."""
    paths = cross_attentions(variables)
    if not paths:
        raise ConfigError(
            f"a {who} has no layers in which a text looks at a picture, so there is no "
            "attention to show; models of kind albef and blip have them"
        )
    check_range("layer", layer, 0, len(paths) - 1)
    return paths[(len(paths) - 1) // 2 if layer is None else layer]


def places(tokenizer: Any, text: str, word: str | None) -> list[int]:
    """Positions of a word's tokens, where it first occurs; None: of the whole text."""

    def words(text):
        """The tokens between the tokenizer's own."""
        both, mask = tokenizer([text, ""])
        own = mask[1].sum()
        return both[0, own - 1 : mask[0].sum() - 1].tolist(), int(own - 1)

    tokens, first = words(text)
    if word is None:
        return list(range(first, first + len(tokens)))
    for asked in (words(word)[0], words(f" {word}")[0]):  # GPT-2's differ
        for at in range(len(tokens) - len(asked) + 1):
            if asked and tokens[at : at + len(asked)] == asked:
                return list(range(first + at, first + at + len(asked)))
    raise ConfigError(f"the word {word!r} is not in the text as it is read: {text!r}")


def as_grid(patches: Float[np.ndarray, " patch"]) -> Float[np.ndarray, "row column"]:
    """Image tokens as the square of their patches; a class token before them is cut."""
    side = math.isqrt(len(patches))
    return patches[len(patches) - side**2 :].reshape(side, side)

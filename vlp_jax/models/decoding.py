"""How the next token of a text is chosen: settings, and what they make of logits.

All as Hugging Face's `generate` has it, so that a ported model writes the same texts.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.lookup import lookup

METHODS = dict.fromkeys(("greedy", "beam", "sample"))
ONLY_FOR = {
    "length_penalty": "beam",
    "early_stopping": "beam",
    "temperature": "sample",
    "top_k": "sample",
    "top_p": "sample",
}


@dataclasses.dataclass(frozen=True)
class Decoding:
    """Settings of generation; `length` and `min_length` leave out the prompt.

    The defaults are those that BLIP captions COCO with (arXiv:2201.12086).

    method: 'greedy' (the likeliest token), 'beam' (the best of `beams` texts at a
      time; one beam is greedy), 'sample' (by chance).
    length: the most new tokens, the end token among them. min_length: as many come
      before the end token.
    length_penalty: a text of n tokens counts by log p / n^penalty.
    early_stopping: as soon as there are `beams` texts that have ended; else when no
      beam can do better than they.
    temperature, top_k (0: all), top_p: what is drawn from, in this order.
    repetition_penalty: log p of tokens that are there already is multiplied by it
      (Keskar et al. 2019, arXiv:1909.05858).
    """

    eos_id: int
    pad_id: int
    method: str = "beam"
    length: int = 20
    min_length: int = 0
    beams: int = 3
    length_penalty: float = 1.0
    early_stopping: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self):
        lookup(METHODS, self.method, "method of generation")
        check_range("length", self.length, 1)
        check_range("min_length", self.min_length, 0, self.length - 1)
        check_range("beams", self.beams, 1)
        check_range("top_k", self.top_k, 0)
        check_range("top_p", self.top_p, 0, 1)
        for name in ("temperature", "repetition_penalty"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected above 0")
        for field in dataclasses.fields(self):
            method, value = ONLY_FOR.get(field.name, self.method), field.default
            if method != self.method and getattr(self, field.name) != value:
                raise ConfigError(
                    f"{field.name} is read by method={method!r} alone, and the method "
                    f"is {self.method!r}; leave it out"
                )


def adjusted(
    scores: Float[Array, "row vocabulary"],
    tokens: Int[Array, "row position"],
    count: Int[Array, ""],
    decoding: Decoding,
) -> Float[Array, "row vocabulary"]:
    """The scores of the next token: repetitions pay, and no text ends too early.

    tokens: prompt, `count` new ones, and room for the rest.
    """
    penalty, (rows, vocabulary) = decoding.repetition_penalty, scores.shape
    if penalty != 1:
        prompt = tokens.shape[1] - decoding.length
        there = jnp.arange(tokens.shape[1]) < prompt + count
        seen = jnp.zeros((rows, vocabulary + 1), bool)  # one more for empty places
        at = jnp.where(there, tokens, vocabulary)
        seen = seen.at[jnp.arange(rows)[:, None], at].set(True)[:, :-1]
        paid = jnp.where(scores < 0, scores * penalty, scores / penalty)
        scores = jnp.where(seen, paid, scores)
    if decoding.min_length:
        early = jnp.arange(vocabulary) == decoding.eos_id
        early &= count < decoding.min_length
        scores = jnp.where(early, -jnp.inf, scores)
    return scores


def warped(
    logits: Float[Array, "row vocabulary"], decoding: Decoding
) -> Float[Array, "row vocabulary"]:
    """The logits to draw from: temperature, then the top k, then the top p of those.

    top_p: the likeliest tokens that together have that probability, one at least
    (Holtzman et al. 2020, arXiv:1904.09751). What is left out becomes -inf.
    """
    logits = logits / decoding.temperature
    if decoding.top_k:
        k = min(decoding.top_k, logits.shape[1])
        lowest = jax.lax.top_k(logits, k)[0][:, -1:]
        logits = jnp.where(logits < lowest, -jnp.inf, logits)
    if decoding.top_p < 1:
        order = jnp.argsort(logits, axis=1)
        ascending = jnp.take_along_axis(logits, order, axis=1)
        below = jnp.cumsum(jax.nn.softmax(ascending, axis=1), axis=1)
        left_out = (below <= 1 - decoding.top_p).at[:, -1].set(False)
        left_out = jnp.take_along_axis(left_out, jnp.argsort(order, axis=1), axis=1)
        logits = jnp.where(left_out, -jnp.inf, logits)
    return logits

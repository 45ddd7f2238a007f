"""Texts from a decoder, a token at a time: one loop, compiled once for a shape."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange, repeat
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from vlp_jax.core.types import PyTree
from vlp_jax.models.decoding import Decoding, adjusted, warped

# (memory, tokens int32 [n, 1], their position) -> (logits [n, V], memory)
Step = Callable[[PyTree, jax.Array, jax.Array], tuple[jax.Array, PyTree]]

NEVER = -1e9  # the score of a text that is out of the question


def generate(
    step: Step,
    memory: PyTree,
    start: Int[Array, "batch prompt"],
    decoding: Decoding,
    keys: Key[Array, " batch"] | None = None,
) -> Int[Array, "batch length"]:
    """The tokens that follow each prompt, up to an end token, then padding.

    step: gives the logits of the token after the one it is given, and takes note of
      that one in `memory`, where the prompt's positions count from 0.
    memory: arrays whose first axis are the rows; for beams every row is repeated.
    keys: for sampling, one for each row.
    """
    memory = read_prompt(step, memory, start)
    room = jnp.full((len(start), decoding.length), decoding.pad_id, start.dtype)
    tokens = jnp.concatenate([start, room], axis=1)
    if decoding.method == "beam" and decoding.beams > 1:
        tokens = beam_search(step, memory, tokens, decoding)
    else:
        tokens = one_by_one(step, memory, tokens, decoding, keys)
    return tokens[:, start.shape[1] :]


def repeat_rows(tree: PyTree, times: int) -> PyTree:
    """Every row `times` times, one after the other."""
    return jax.tree.map(lambda x: jnp.repeat(x, times, axis=0), tree)


def read_prompt(
    step: Step, memory: PyTree, start: Int[Array, "batch prompt"]
) -> PyTree:
    """The memory after all of the prompt but its last token."""
    length = start.shape[1] - 1
    if not length:
        return memory

    def read(memory, at):
        token, position = at
        return step(memory, token[:, None], position)[1], None

    return jax.lax.scan(read, memory, (start[:, :length].T, jnp.arange(length)))[0]


class Texts(NamedTuple):
    """Texts in the making: `count` new tokens, and who has come to an end."""

    count: Int[Array, ""]
    tokens: Int[Array, "row position"]
    ended: Bool[Array, " row"]
    memory: PyTree


def one_by_one(
    step: Step,
    memory: PyTree,
    tokens: Int[Array, "row position"],
    decoding: Decoding,
    keys: Key[Array, " row"] | None,
) -> Int[Array, "row position"]:
    """Greedy search, or a sample."""
    prompt = tokens.shape[1] - decoding.length

    def choose(scores, count):
        if decoding.method != "sample":
            return jnp.argmax(scores, axis=1)
        now = jax.vmap(jax.random.fold_in, (0, None))(keys, count)
        return jax.vmap(jax.random.categorical)(now, warped(scores, decoding))

    def add_token(texts: Texts) -> Texts:
        at = prompt + texts.count
        newest = jax.lax.dynamic_slice_in_dim(texts.tokens, at - 1, 1, axis=1)
        logits, memory = step(texts.memory, newest, at - 1)
        scores = logits.astype(jnp.float32)
        scores = adjusted(scores, texts.tokens, texts.count, decoding)
        token = choose(scores, texts.count).astype(tokens.dtype)
        token = jnp.where(texts.ended, decoding.pad_id, token)
        return Texts(
            texts.count + 1,
            texts.tokens.at[:, at].set(token),
            texts.ended | (token == decoding.eos_id),
            memory,
        )

    def go_on(texts: Texts):
        return (texts.count < decoding.length) & ~texts.ended.all()

    texts = Texts(jnp.int32(0), tokens, jnp.zeros(len(tokens), bool), memory)
    return jax.lax.while_loop(go_on, add_token, texts).tokens


class Beams(NamedTuple):
    """The best texts that go on, and the best of those that have ended.

    scores: sums of log p. end_scores: those by length, NEVER where none has `ended`.
    open: rows whose ended texts may yet be beaten.
    """

    count: Int[Array, ""]
    tokens: Int[Array, "batch beam position"]
    scores: Float[Array, "batch beam"]
    end_tokens: Int[Array, "batch beam position"]
    end_scores: Float[Array, "batch beam"]
    ended: Bool[Array, "batch beam"]
    open: Bool[Array, " batch"]
    memory: PyTree


def pick(
    values: Shaped[Array, "batch found *rest"], index: Int[Array, "batch beam"]
) -> Shaped[Array, "batch beam *rest"]:
    """Every row's own choice along the second axis; no row leaves its device."""
    return jax.vmap(lambda of_row, chosen: of_row[chosen])(values, index)


def beam_search(
    step: Step,
    memory: PyTree,
    tokens: Int[Array, "batch position"],
    decoding: Decoding,
) -> Int[Array, "batch position"]:
    """The best text of each row, as Hugging Face's `_beam_search` finds it.

    Of the 2 x beams likeliest continuations those that end compete, if they are among
    the first `beams`, with those that have ended before; the best others go on.
    """
    beams, prompt = decoding.beams, tokens.shape[1] - decoding.length
    lengths = np.arange(1, decoding.length + 1, dtype=np.float64)
    divisors = jnp.asarray(lengths**decoding.length_penalty, jnp.float32)

    def add_token(state: Beams) -> Beams:
        at, divisor = prompt + state.count, divisors[state.count]
        scores, beam, token, memory = continuations(step, state, at - 1, decoding)
        tokens = pick(state.tokens, beam).at[:, :, at].set(token)
        ends = (token == decoding.eos_id) | (state.count + 1 == decoding.length)

        going, chosen = jax.lax.top_k(scores + NEVER * ends, beams)
        counted = ends & (jnp.arange(2 * beams) < beams) & state.open[:, None]
        end_scores = jnp.where(counted, scores / divisor, NEVER)
        end_scores, kept = jax.lax.top_k(
            jnp.concatenate([state.end_scores, end_scores], axis=1), beams
        )
        ended = pick(jnp.concatenate([state.ended, counted], axis=1), kept)
        end_tokens = jnp.concatenate([state.end_tokens, tokens], axis=1)

        worst = jnp.where(ended, end_scores.min(axis=1, keepdims=True), NEVER)
        is_open = state.open & (going[:, :1] / divisor > worst).any(axis=1)
        if decoding.early_stopping:
            is_open &= ~ended.all(axis=1)
        return Beams(
            count=state.count + 1,
            tokens=pick(tokens, chosen),
            scores=going,
            end_tokens=pick(end_tokens, kept),
            end_scores=end_scores,
            ended=ended,
            open=is_open,
            memory=reorder(memory, pick(beam, chosen)),
        )

    def go_on(state: Beams):
        return state.open.any() & (state.count < decoding.length)

    state = first_beams(tokens, repeat_rows(memory, beams), beams)
    return jax.lax.while_loop(go_on, add_token, state).end_tokens[:, 0]


def first_beams(
    tokens: Int[Array, "batch position"], memory: PyTree, beams: int
) -> Beams:
    """Only the first beam of a row counts: the others are the same text."""
    batch = len(tokens)
    tokens = repeat(tokens, "batch position -> batch beam position", beam=beams)
    never = jnp.full((batch, beams), NEVER, jnp.float32)
    return Beams(
        count=jnp.int32(0),
        tokens=tokens,
        scores=never.at[:, 0].set(0),
        end_tokens=tokens,
        end_scores=never,
        ended=jnp.zeros((batch, beams), bool),
        open=jnp.ones(batch, bool),
        memory=memory,
    )


def continuations(
    step: Step, state: Beams, position: Int[Array, ""], decoding: Decoding
) -> tuple[
    Float[Array, "batch found"],
    Int[Array, "batch found"],
    Int[Array, "batch found"],
    PyTree,
]:
    """The 2 x beams best of each row: scores, beams, tokens; and the memory."""
    rows = rearrange(state.tokens, "batch beam position -> (batch beam) position")
    newest = jax.lax.dynamic_slice_in_dim(rows, position, 1, axis=1)
    logits, memory = step(state.memory, newest, position)
    scores = jax.nn.log_softmax(logits.astype(jnp.float32))
    scores = adjusted(scores, rows, state.count, decoding)
    scores = rearrange(
        scores, "(batch beam) token -> batch beam token", beam=decoding.beams
    )
    scores, found = jax.lax.top_k(
        rearrange(
            scores + state.scores[..., None], "batch beam token -> batch (beam token)"
        ),
        2 * decoding.beams,
    )
    vocabulary = logits.shape[1]
    return scores, found // vocabulary, found % vocabulary, memory


def reorder(memory: PyTree, beam: Int[Array, "batch beam"]) -> PyTree:
    """The memory of the beams that were chosen."""
    beams = beam.shape[1]

    def chosen(x):
        x = rearrange(x, "(batch beam) ... -> batch beam ...", beam=beams)
        return rearrange(pick(x, beam), "batch beam ... -> (batch beam) ...")

    return jax.tree.map(chosen, memory)

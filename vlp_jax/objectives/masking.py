"""Tokens that are hidden from a model so that it must tell them (BERT's masking).

Of the tokens that may be chosen 15 % are; of these 80 % become the mask token, 10 % a
random token and 10 % stay as they are (Devlin et al. 2018, arXiv:1810.04805, 3.1).

As in ALBEF (arXiv:2107.07651) every token is drawn for itself, so that a short text may
have none chosen; one random token is as likely as another. Unlike there, no special
token is chosen or put in the place of another.

Whole words: the pieces of a word are chosen together, each word with the same
probability; what becomes of a chosen piece is still drawn piece by piece. ViLT
(arXiv:2102.03334) publishes the same replacement, and chooses words in random order
until they have 15 % of the pieces of a text, padding among both: about as many.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

MASK, RANDOM = 0.8, 0.1  # shares of what is chosen; the rest stays as it is


def choosable(
    tokens: Int[Array, "B L"], mask: Bool[Array, "B L"], special: Sequence[int]
) -> Bool[Array, "B L"]:
    """The tokens of the texts that are neither padding nor special."""
    return mask & ~jnp.isin(tokens, jnp.array(special, tokens.dtype))


def first_pieces(
    tokens: Int[Array, "B L"],
    plain: Bool[Array, "B L"],
    word_borders: Bool[Array, "2 V"],
) -> Int[Array, "B L"]:
    """The position at which the word of each plain token begins.

    A word begins where its first token says so (word_borders[0]), after a token that
    ends one (word_borders[1]), and wherever the one before is not `plain` text.
    """
    begins, ends = word_borders[:, tokens]
    goes_on = plain[:, :-1] & ~ends[:, :-1]
    begins |= ~jnp.pad(goes_on, ((0, 0), (1, 0)))
    positions = jnp.arange(tokens.shape[1], dtype=jnp.int32)
    return jax.lax.cummax(jnp.where(begins, positions, 0), axis=1)


def choose(
    key: jax.Array,
    may_be: Bool[Array, "B L"],
    share: float,
    first: Int[Array, "B L"] | None = None,
) -> Bool[Array, "B L"]:
    """Which tokens are chosen: each with probability `share`, of those that may be.

    Tokens that name the same position in `first` (first_pieces) are chosen together.
    """
    draws = jax.random.uniform(key, may_be.shape)
    if first is not None:
        draws = jnp.take_along_axis(draws, first, axis=1)
    return may_be & (draws < share)


def replace(
    key: jax.Array,
    tokens: Int[Array, "B L"],
    chosen: Bool[Array, "B L"],
    mask_id: int,
    special: Sequence[int],
    vocab_size: int,
) -> Int[Array, "B L"]:
    """The tokens with most of the chosen ones replaced, each by a draw of its own."""
    kind_key, token_key = jax.random.split(key)
    kind = jax.random.uniform(kind_key, tokens.shape)
    special = sorted(set(special))
    drawn = jax.random.randint(
        token_key, tokens.shape, 0, vocab_size - len(special), tokens.dtype
    )
    for passed_over in special:
        drawn += drawn >= passed_over
    replaced = jnp.where(kind < MASK, mask_id, drawn)
    return jnp.where(chosen & (kind < MASK + RANDOM), replaced, tokens)

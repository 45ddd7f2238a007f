"""Texts no longer than they need to be: batches cut to one of a few lengths.

Padding costs as much as text. Cutting the padding that all texts of a batch share
changes nothing but the time; a few allowed lengths keep the number of compiled
programs small. Batches are not sorted by length: the negatives of a contrastive loss
would then be texts of the same length.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from vlp_jax.core.errors import ConfigError

Arrays = Mapping[str, np.ndarray]  # of one stream


def check_lengths(lengths: Sequence[int], longest: int) -> tuple[int, ...]:
    """The allowed lengths in order, `longest` always among them."""
    wrong = [n for n in lengths if not (isinstance(n, int) and 2 <= n <= longest)]
    if wrong:
        raise ConfigError(
            f"data.text_lengths has {wrong[0]!r}; expected whole numbers of tokens "
            f"from 2 to tokenizer.length = {longest}"
        )
    return tuple(sorted({*lengths, longest}))


def longest_text(arrays: Arrays) -> int:
    """Tokens of the longest text of a batch."""
    return int(arrays["text_mask"].sum(axis=1).max())


def cut(arrays: Arrays, longest: int, lengths: Sequence[int]) -> dict[str, np.ndarray]:
    """text_tokens and text_mask [n, L], cut to the first length that holds `longest`.

    lengths: as check_lengths returns them.
    """
    length = next(n for n in lengths if n >= longest)
    texts = ("text_tokens", "text_mask")
    return {k: v[:, :length] if k in texts else v for k, v in arrays.items()}

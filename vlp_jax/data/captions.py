"""What counts as a caption."""

import collections
from collections.abc import Iterable, Iterator
from unicodedata import category, normalize

import numpy as np

from vlp_jax.core.errors import BadSample
from vlp_jax.core.types import Example, Source

MAX_CAPTION = 10_000  # characters; longer ones are scraped pages, not captions
CONTROL = ("Cc", "Cs")  # Unicode categories: control characters, lone surrogates


def clean_caption(text: str) -> str:
    """NFC, no control characters or lone surrogates, whitespace collapsed.

    Raises BadSample: 'caption_missing' when nothing visible is left, 'caption_too_long'
    rather than cutting, which would train on the boilerplate at the top of a page.
    """
    if len(text) > MAX_CAPTION:
        raise BadSample("caption_too_long", f"{len(text):,} characters")
    text = normalize("NFC", text)
    if not text.isprintable():
        text = "".join(c for c in text if c.isspace() or category(c) not in CONTROL)
    text = " ".join(text.split())
    if not text:
        raise BadSample("caption_missing", "no visible character")
    return text


def usable(texts: Iterable[str], dropped: collections.Counter) -> Iterator[str]:
    """The clean captions; the others are counted in `dropped` by cause."""
    for text in texts:
        try:
            yield clean_caption(text)
        except BadSample as error:
            dropped[error.cause] += 1


def spread_examples(source: Source, samples: int) -> Iterator[Example]:
    """So many evenly spread examples, without those that cannot be read."""
    count = min(samples, len(source))
    for index in np.linspace(0, len(source) - 1, count).astype(int):
        try:
            example = source[int(index)]
        except BadSample:
            continue
        yield example


def spread_captions(source: Source, samples: int) -> Iterator[str]:
    """Captions of so many evenly spread examples."""
    for example in spread_examples(source, samples):
        yield from example.captions

"""The stream `pairs`: a picture and one of its captions."""

import numpy as np

from vlp_jax.core.errors import BadSample
from vlp_jax.core.types import Example
from vlp_jax.data.samples import Samples


def choose_caption(example: Example, rng: np.random.Generator) -> str:
    """One of the captions, drawn by their weights."""
    if not example.caption_weights:
        return example.captions[rng.integers(len(example.captions))]
    ends = np.cumsum(example.caption_weights)
    return example.captions[
        int(np.searchsorted(ends, rng.random() * ends[-1], "right"))
    ]


class PairSamples(Samples):
    """Samples (samples.py) with one of the captions of each picture."""

    def check(self, example: Example) -> None:
        if not example.captions:
            raise BadSample("caption_missing")

    def texts(
        self, example: Example, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        tokens, mask = self.tokenize([choose_caption(example, rng)])
        return {"text_tokens": tokens[0], "text_mask": mask[0]}

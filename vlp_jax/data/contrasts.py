"""The stream `contrasts`: a picture and a caption that is right, or nearly.

Wrong captions that differ from the right one in little, a word or an order, as hard
negatives (NegCLIP, Yuksekgonul et al. 2022, arXiv:2210.01936).
"""

from collections.abc import Iterator

import numpy as np

from vlp_jax.core.errors import BadSample
from vlp_jax.core.types import Example, Source
from vlp_jax.data.captions import spread_examples
from vlp_jax.data.samples import Samples


def spread_contrasts(source: Source, samples: int) -> Iterator[str]:
    """First captions and what contrasts with them, of so many spread examples."""
    for example in spread_examples(source, samples):
        yield from example.captions[:1]
        yield from example.negatives


class ContrastSamples(Samples):
    """Samples (samples.py) with the first caption or, half the time, a wrong one.

    The wrong one is any of the example's `negatives`, each as likely. These are made
    of the first caption; another right one would give itself away by its form, to who
    does not look at the picture.
    """

    def check(self, example: Example) -> None:
        if not example.captions:
            raise BadSample("caption_missing")
        if not example.negatives:
            raise BadSample("negative_missing")

    def texts(
        self, example: Example, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        fits = rng.random() < 0.5
        wrong = example.negatives[rng.integers(len(example.negatives))]
        tokens, mask = self.tokenize([example.captions[0] if fits else wrong])
        return {
            "text_tokens": tokens[0],
            "text_mask": mask[0],
            "fits": np.bool_(fits),
        }

"""One tower for two: the transformer of texts is that of pictures.

What is before it (patches, words, positions) and after it (norms, projections) stays
each side's own. As in MS-CLIP (You et al. 2022, arXiv:2207.12661), which shares all but
these, and with one set of parameters in place of two.
"""

import dataclasses

import jax

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import PyTree

OWNER, TAKER, PART = "image", "text", "encoder"


@dataclasses.dataclass(frozen=True)
class SharedEncoder:
    """The parameters text/encoder are those of image/encoder."""

    def extend(self, params: PyTree, key: jax.Array) -> tuple[PyTree, PyTree]:
        """(the parameters without the text's transformer, nothing of its own)."""
        lacking = [n for n in (OWNER, TAKER) if PART not in params.get(n, {})]
        if lacking:
            raise ConfigError(
                "share_encoder needs a transformer in both towers, and model."
                f"{lacking[0]} has none; choose kinds such as 'vit' and 'transformer'"
            )
        trees.check_same(
            params[OWNER][PART],
            params[TAKER][PART],
            "model.text.encoder, which share_encoder takes from the pictures,",
            "; set model.text.width, depth and heads as those of model.image",
        )
        taker = {name: x for name, x in params[TAKER].items() if name != PART}
        return {**params, TAKER: taker}, {}

    def begin(self, params: PyTree, own: PyTree) -> PyTree:
        return {}

    def merge(self, params: PyTree, own: PyTree) -> PyTree:
        """The parameters of the model as it is without adapters."""
        shared = params[OWNER][PART]
        return {**params, TAKER: {**params[TAKER], PART: shared}}

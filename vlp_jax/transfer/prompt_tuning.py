"""Learned words: embeddings of context tokens, beside those of the vocabulary.

CoOp (Zhou et al. 2022, arXiv:2109.01134). The text tower's table of token embeddings
ends with the context tokens; while they are learned, these rows are a parameter of
their own, so that they can train while the vocabulary does not.
"""

import dataclasses

import jax
import jax.numpy as jnp

from vlp_jax.core.types import PyTree

NAME, TOWER, TABLE = "context", "text", "token_embedding"


@dataclasses.dataclass(frozen=True)
class Context:
    """The last `count` rows of the table as the parameter adapters/context.

    start: for each of them the token whose embedding it begins with; (): random ones.
    """

    count: int
    start: tuple[int, ...] = ()

    def extend(self, params: PyTree, key: jax.Array) -> tuple[PyTree, PyTree]:
        """(the parameters without the context, the context)."""
        table = params[TOWER][TABLE]
        params = {**params, TOWER: {**params[TOWER], TABLE: table[: -self.count]}}
        return params, {NAME: table[-self.count :]}

    def begin(self, params: PyTree, own: PyTree) -> PyTree:
        """The context with the embeddings of the words that it starts from."""
        if not self.start:
            return own
        return {NAME: params[TOWER][TABLE][jnp.array(self.start)]}

    def merge(self, params: PyTree, own: PyTree) -> PyTree:
        """The parameters of the model as it is without adapters."""
        table = params[TOWER][TABLE]
        table = jnp.concatenate([table, own[NAME].astype(table.dtype)])
        return {**params, TOWER: {**params[TOWER], TABLE: table}}

"""LoRA (Hu et al. 2021, arXiv:2106.09685): a low-rank change of locked weights.

W' = W + alpha / rank * A B, with A [inputs, rank] random and B [rank, outputs] zero at
first, so that training starts from the model as it was.
"""

import dataclasses

import jax
import jax.numpy as jnp

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.types import PyTree

NAME = "lora"


@dataclasses.dataclass(frozen=True)
class Lora:
    """Changes every matrix in whose path a pattern is found.

    Args:
      patterns: such as ('attention/(query|value)/kernel$',), the paper's choice.
      rank: of the change.
      alpha: its scale is alpha / rank; None: as large as the rank.
    """

    patterns: tuple[str, ...]
    rank: int = 8
    alpha: float | None = None

    def __post_init__(self):
        check_range("lora.rank", self.rank, 1)

    @property
    def scale(self) -> float:
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def extend(self, params: PyTree, key: jax.Array) -> tuple[PyTree, PyTree]:
        """(the parameters, A as `down` and B as `up` for each changed matrix)."""
        flat, own = trees.flatten(params), {}
        chosen = trees.matching(self.patterns, flat, "lora.patterns")
        for number, path in enumerate(sorted(chosen)):
            shape = flat[path].shape
            if len(shape) != 2:
                raise ConfigError(
                    f"lora.patterns finds {path}, which is no matrix (shape "
                    f"{list(shape)}); end the pattern with 'kernel$'"
                )
            noise = jax.random.normal(
                jax.random.fold_in(key, number), (shape[0], self.rank)
            )
            own[f"{path}/down"] = noise * shape[0] ** -0.5
            own[f"{path}/up"] = jnp.zeros((self.rank, shape[1]))
        return params, {NAME: trees.unflatten(own)}

    def begin(self, params: PyTree, own: PyTree) -> PyTree:
        return own

    def merge(self, params: PyTree, own: PyTree) -> PyTree:
        """The parameters of the model as it is without adapters."""
        changes = trees.flatten(own[NAME])

        def changed(path, leaf):
            if f"{path}/down" not in changes:
                return leaf
            change = changes[f"{path}/down"] @ changes[f"{path}/up"]
            return leaf + self.scale * change

        return trees.map_with_path(changed, params)

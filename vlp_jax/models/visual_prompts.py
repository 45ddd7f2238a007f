"""VPT: learned tokens beside the patches of a picture (Jia et al. 2022).

arXiv:2203.12119. Shallow prompts enter before the first block and go through all of
them; deep ones are replaced by others of its own before every block.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from vlp_jax.models.transformer import Block

FIRST = 1  # prompts stand behind the class token


def uniform(fan: int) -> nn.initializers.Initializer:
    """The paper's: uniform in +-sqrt(6 / fan), fan of the patch embedding."""
    bound = (6 / fan) ** 0.5

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def with_prompts(
    tokens: Float[Array, "batch token width"],
    prompts: Float[Array, "prompt width"],
    replaced: int = 0,
) -> Float[Array, "batch more width"]:
    """The tokens with prompts behind the first; `replaced`: instead of so many."""
    rows = jnp.broadcast_to(prompts.astype(tokens.dtype), (len(tokens), *prompts.shape))
    before, after = tokens[:, :FIRST], tokens[:, FIRST + replaced :]
    return jnp.concatenate([before, rows, after], axis=1)


def without_prompts(
    tokens: Float[Array, "batch more width"], count: int
) -> Float[Array, "batch token width"]:
    """The tokens but for the prompts."""
    return jnp.concatenate([tokens[:, :FIRST], tokens[:, FIRST + count :]], axis=1)


@functools.cache
def prompted_block(count: int, fan: int) -> type[Block]:
    """A block that puts prompts of its own in place of those that come to it."""

    class PromptedBlock(Block):
        @nn.compact
        def __call__(self, x, *seen):
            own = self.param("prompts", uniform(fan), (count, x.shape[-1]))
            return super().__call__(with_prompts(x, own, replaced=count), *seen)

    return PromptedBlock

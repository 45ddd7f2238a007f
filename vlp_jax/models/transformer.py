"""The transformer that is the trunk of every tower."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from vlp_jax.core.errors import check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.models.layers import MLP, Attention, LayerNorm
from vlp_jax.parallel.sharding import constrain

# What the backward pass may keep of a block instead of computing it again.
REMAT_POLICIES = {
    "none": jax.checkpoint_policies.everything_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


def dropout(module: nn.Module, rate: float) -> nn.Dropout:
    """Drops numbers in training only, that is where there is a key 'dropout'."""
    return nn.Dropout(rate, deterministic=not module.has_rng("dropout"))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    With `post_norm` norm(x + attention(x)), then norm(x + mlp(x)), as Vaswani et al.
    2017 and BERT have it. dropout: of what is added to x.
    """

    heads: int
    hidden: int
    depth: int  # of the whole trunk: the residual branches start smaller (GPT-2)
    activation: str = "quick_gelu"
    causal: bool = False
    norm_epsilon: float = 1e-5
    attention: str = "xla"
    dtype: str = "float32"
    post_norm: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch token width"],
        mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch token width"]:
        width = x.shape[-1]
        in_std, out_std = width**-0.5, (2 * self.depth * width) ** -0.5
        norm_1 = LayerNorm(self.norm_epsilon, self.dtype, name="norm_1")
        norm_2 = LayerNorm(self.norm_epsilon, self.dtype, name="norm_2")
        attention = Attention(
            self.heads,
            self.causal,
            self.attention,
            in_std,
            out_std,
            self.dtype,
            name="attention",
        )
        mlp = MLP(
            self.hidden,
            self.activation,
            (2 * width) ** -0.5,
            out_std,
            self.dtype,
            name="mlp",
        )
        drop_1, drop_2 = dropout(self, self.dropout), dropout(self, self.dropout)
        if self.post_norm:
            x = norm_1(x + drop_1(attention(x, mask)))
            x = norm_2(x + drop_2(mlp(x)))
        else:
            x = x + drop_1(attention(norm_1(x), mask))
            x = x + drop_2(mlp(norm_2(x)))
        return constrain(x)


class Transformer(nn.Module):
    """`depth` blocks, unrolled or scanned.

    Parameters are always one tree per layer (`block_0`, `block_1`, ...), so that
    sharding, freezing, decay, checkpoints and ports see the same paths either way.
    `scan` stacks them inside the step: it compiles `depth` times less code, and pays
    with a copy of the parameters.

    dropout: of the tokens before the first block and of every branch; scanned layers
    drop other numbers than unrolled ones.
    """

    depth: int
    heads: int
    hidden: int
    activation: str = "quick_gelu"
    causal: bool = False
    norm_epsilon: float = 1e-5
    attention: str = "xla"
    remat: str = "none"
    scan: bool = False
    dtype: str = "float32"
    post_norm: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch token width"],
        mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch token width"]:
        policy = lookup(REMAT_POLICIES, self.remat, "remat policy")
        check_range("dropout", self.dropout, 0, 1)
        x = dropout(self, self.dropout)(x)
        settings = dict(
            heads=self.heads,
            hidden=self.hidden,
            depth=self.depth,
            activation=self.activation,
            causal=self.causal,
            norm_epsilon=self.norm_epsilon,
            attention=self.attention,
            dtype=self.dtype,
            post_norm=self.post_norm,
            dropout=self.dropout,
        )
        names = [f"block_{i}" for i in range(self.depth)]
        if not self.scan or self.is_initializing():
            block = Block if self.remat == "none" else nn.remat(Block, policy=policy)
            for name in names:
                x = block(**settings, name=name)(x, mask)
            return x

        layers = [self.variables["params"][name] for name in names]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)
        block = Block(**settings, parent=None)
        keys = None
        if self.dropout and self.has_rng("dropout"):
            keys = jax.random.split(self.make_rng("dropout"), self.depth)

        def layer(x, of_layer):
            params, key = of_layer
            rngs = {} if key is None else {"dropout": key}
            return block.apply({"params": params}, x, mask, rngs=rngs), None

        if self.remat != "none":
            layer = jax.checkpoint(layer, policy=policy)
        return jax.lax.scan(layer, x, (stacked, keys))[0]

"""The transformer that is the trunk of every tower."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

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

    Given a context, the tokens look at it between the two, in the same form. `branch`
    names a second causal attention of the tokens over themselves, beside which all
    else is shared: BLIP's decoder (arXiv:2201.12086).
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
    cache_length: int = 0

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch token width"],
        mask: Bool[Array, "batch *query seen"] | None = None,
        context: Float[Array, "batch other depth"] | None = None,
        context_mask: Bool[Array, "batch other"] | None = None,
        position: Int[Array, ""] | None = None,
        branch: str = "",
    ) -> Float[Array, "batch token width"]:
        width = x.shape[-1]
        in_std, out_std = width**-0.5, (2 * self.depth * width) ** -0.5

        def attention(name, causal):
            return Attention(
                self.heads,
                causal,
                self.attention,
                in_std,
                out_std,
                self.dtype,
                cache_length=self.cache_length,
                name=name,
            )

        def add(x, name, function):
            """x and what a function finds for it, normalised before or after."""
            norm = LayerNorm(self.norm_epsilon, self.dtype, name=name)
            drop = dropout(self, self.dropout)
            if self.post_norm:
                return norm(x + drop(function(x)))
            return x + drop(function(norm(x)))

        own = attention(f"{branch}attention", self.causal or bool(branch))
        x = add(x, f"{branch}norm_1", lambda x: own(x, mask, position=position))
        if context is not None:
            cross = attention("cross_attention", False)
            x = add(x, "norm_cross", lambda x: cross(x, context_mask, context))
        mlp = MLP(
            self.hidden,
            self.activation,
            (2 * width) ** -0.5,
            out_std,
            self.dtype,
            name="mlp",
        )
        return constrain(add(x, "norm_2", mlp))


class Transformer(nn.Module):
    """`depth` blocks, unrolled or scanned.

    Parameters are always one tree per layer (`block_0`, `block_1`, ...), so that
    sharding, freezing, decay, checkpoints and ports see the same paths either way.
    `scan` stacks them inside the step: it compiles `depth` times less code, and pays
    with a copy of the parameters.

    dropout: of the tokens before the first block and of every branch; scanned layers
    drop other numbers than unrolled ones. block: what the layers are.
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
    cache_length: int = 0
    block: type[Block] = Block

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch token width"],
        mask: Bool[Array, "batch *query seen"] | None = None,
        context: Float[Array, "batch other depth"] | None = None,
        context_mask: Bool[Array, "batch other"] | None = None,
        position: Int[Array, ""] | None = None,
        branch: str = "",
    ) -> Float[Array, "batch token width"]:
        """The arguments are those of Block, for all of them."""
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
            cache_length=self.cache_length,
        )
        seen = mask, context, context_mask, position
        names = [f"block_{i}" for i in range(self.depth)]
        if not self.scan or self.is_initializing() or position is not None:
            block = self.block
            if self.remat != "none" and position is None:
                block = nn.remat(block, policy=policy, static_argnums=(6,))
            for name in names:
                x = block(**settings, name=name)(x, *seen, branch)
            return x

        layers = [self.variables["params"][name] for name in names]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)
        block = self.block(**settings, parent=None)
        keys = None
        if self.dropout and self.has_rng("dropout"):
            keys = jax.random.split(self.make_rng("dropout"), self.depth)

        def layer(x, of_layer):
            params, key = of_layer
            rngs = {} if key is None else {"dropout": key}
            return block.apply({"params": params}, x, *seen, branch, rngs=rngs), None

        if self.remat != "none":
            layer = jax.checkpoint(layer, policy=policy)
        return jax.lax.scan(layer, x, (stacked, keys))[0]

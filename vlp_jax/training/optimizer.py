"""The optimizer: AdamW with clipping, a decay mask and bounds on parameters."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import suggestion
from vlp_jax.core.types import PyTree


def decay_mask(params: PyTree, exclude: tuple[str, ...] = ()) -> PyTree:
    """True where weight decay applies: matrices, except paths matching `exclude`.

    Gains, biases and scalars are not decayed (Radford et al. 2021, section 2.5).
    """

    spared = trees.matching(exclude, trees.flatten(params), "optimizer.no_decay")

    def decays(path, leaf):
        return leaf.ndim >= 2 and path not in spared

    return trees.map_with_path(decays, params)


def scale_by_step(
    learning_rate: optax.Schedule,
) -> optax.GradientTransformationExtraArgs:
    """Updates times -learning_rate(step), for the `step` that `update` is told.

    optax counts the updates it has seen. A step whose update is skipped, or one after
    a return to earlier weights, would then have the rate of another step.
    """

    def update(updates, state, params=None, *, step, **_):
        factor = -learning_rate(step)
        scaled = jax.tree.map(lambda u: jnp.asarray(factor, u.dtype) * u, updates)
        return scaled, state

    return optax.GradientTransformationExtraArgs(lambda params: (), update)


def scale_by_path(factor: Callable[[str], float]) -> optax.GradientTransformation:
    """Updates times a factor for each path, by which layers have rates of their own."""

    def update(updates, params):
        return trees.map_with_path(lambda path, u: factor(path) * u, updates)

    return optax.stateless(update)


def adamw(
    learning_rate: optax.Schedule,
    b1: float = 0.9,
    b2: float = 0.98,
    epsilon: float = 1e-6,
    weight_decay: float = 0.2,
    clip_norm: float | None = 1.0,
    no_decay: tuple[str, ...] = (),
    rate_factor: Callable[[str], float] | None = None,
) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) with CLIP's values.

    Args:
      clip_norm: largest global norm of the gradient; 0 switches clipping off, which
        CLIP does without.
      no_decay: patterns of parameter paths that are not decayed either.
      rate_factor: of the learning rate of each parameter, by its path; None: 1.
    """
    chain = [
        optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity(),
        optax.scale_by_adam(b1, b2, epsilon),
        optax.add_decayed_weights(
            weight_decay, mask=lambda params: decay_mask(params, tuple(no_decay))
        ),
    ]
    if rate_factor is not None:
        chain.append(scale_by_path(rate_factor))
    return optax.chain(*chain, scale_by_step(learning_rate))


OPTIMIZERS = {"adamw": adamw}


def clamp(params: PyTree, bounds: Mapping[str, tuple[float, float]]) -> PyTree:
    """`params` with the leaves at the given paths held within (low, high).

    Applied after the update: inside the graph a clamp would stop the gradient of a
    parameter at its bound for good. ConfigError for a path that is no parameter.
    """

    paths = trees.flatten(params)
    for path in bounds:
        if path not in paths:
            raise ConfigError(
                f"bounds names {path!r}, which is no parameter of this model"
                f"{suggestion(path, paths)}"
            )

    def hold(path, leaf):
        return jnp.clip(leaf, *bounds[path]) if path in bounds else leaf

    return trees.map_with_path(hold, params) if bounds else params


def moving_average(average: PyTree, params: PyTree, decay: float) -> PyTree:
    """decay * average + (1 - decay) * params, leaf by leaf; counts are the newest."""

    def move(a, p):
        return (
            a * decay + p * (1 - decay) if jnp.issubdtype(p.dtype, jnp.floating) else p
        )

    return jax.tree.map(move, average, params)


def early_decay(decay: float, step: jax.Array) -> jax.Array:
    """The decay of an average that would else keep the initial values for long."""
    return jnp.minimum(decay, (1 + step) / (10 + step))

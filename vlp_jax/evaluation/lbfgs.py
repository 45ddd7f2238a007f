"""L-BFGS for a smooth convex function, compiled as one loop (Liu and Nocedal 1989).

Every turn of the loop computes one value and one gradient, at a step along the current
direction, so the function is compiled once. A step that lowers the function enough is
taken; another is shortened. That suffices where the curvature is positive along every
step, as it is for a strictly convex function (Byrd and Nocedal 1989, SIAM J. Numer.
Anal. 26, 727-739), and no second condition has to be met.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

MEMORY = 10  # pairs of steps and gradient differences, as scipy's L-BFGS-B keeps
DECREASE = 1e-4  # share of the decrease that the slope promises
NOISE = 4.0  # rounding of the value, in units of its precision
MOST_TRIALS = 20  # steps tried along one direction
MOST_STILL = 20  # directions in a row that neither lowered value nor gradient


class Minimum(NamedTuple):
    """Where the loop ended. `residual`: largest |gradient| there over that at first."""

    x: Float[Array, "..."]
    iterations: Int[Array, ""]
    residual: Float[Array, ""]


class _Memory(NamedTuple):
    """Steps s and gradient differences y in a ring; `scale` 1 / s.y, 0 where empty."""

    steps: Float[Array, "pairs ..."]
    changes: Float[Array, "pairs ..."]
    scale: Float[Array, " pairs"]
    next: Int[Array, ""]


class _State(NamedTuple):
    """The point that was taken last, and the step along the direction to try next.

    still: directions since one gained something. smallest: of the largest |gradient|.
    """

    x: Float[Array, "..."]
    value: Float[Array, ""]
    gradient: Float[Array, "..."]
    direction: Float[Array, "..."]
    step: Float[Array, ""]
    trials: Int[Array, ""]
    still: Int[Array, ""]
    smallest: Float[Array, ""]
    iterations: Int[Array, ""]
    memory: _Memory


def minimise(
    value_and_gradient: Callable,
    start: Float[Array, "..."],
    tolerance: float,
    most_iterations: int,
) -> Minimum:
    """The minimum of a strictly convex function, to be called under jit.

    It ends when the largest |gradient| is `tolerance` of that at `start`, after
    `most_iterations` directions, or where rounding hides what could still be gained (in
    float32 usually before a small tolerance is met).

    Args:
      value_and_gradient: x -> (value, gradient), of the shape of `start`.
    """
    value, gradient = value_and_gradient(start)
    empty = jnp.zeros((MEMORY, *start.shape), start.dtype)
    memory = _Memory(empty, empty, jnp.zeros(MEMORY, start.dtype), jnp.int32(0))
    zero, one = jnp.int32(0), jnp.ones((), start.dtype)
    first = _State(
        *(start, value, gradient, _direction(gradient, memory)),
        *(one, zero, zero, _largest(gradient), zero, memory),
    )
    target = tolerance * _largest(gradient)

    def goes_on(state: _State):
        return (
            (_largest(state.gradient) > target)
            & (state.iterations < most_iterations)
            & (state.trials < MOST_TRIALS)
            & (state.still < MOST_STILL)
        )

    def turn(state: _State) -> _State:
        x = state.x + state.step * state.direction
        value, gradient = value_and_gradient(x)
        return jax.lax.cond(
            _is_lower(state, value, gradient),
            _taken,
            _shortened,
            state,
            value,
            gradient,
        )

    last = jax.lax.while_loop(goes_on, turn, first)
    residual = _largest(last.gradient) / _largest(gradient)
    return Minimum(last.x, last.iterations, residual)


def _is_lower(state: _State, value, gradient):
    """Armijo's condition; near the minimum, where values round, in terms of slopes.

    For a quadratic the second form says the same (the approximate Wolfe condition of
    Hager and Zhang 2005, SIAM J. Optim. 16, 170-192), and slopes are precise where
    differences of values are not.
    """
    slope = _dot(state.gradient, state.direction)
    enough = value <= state.value + DECREASE * state.step * slope
    flat = _dot(gradient, state.direction) <= (2 * DECREASE - 1) * slope
    return enough | ((value <= state.value + _noise(state)) & flat)


def _taken(state: _State, value, gradient) -> _State:
    """Goes to the new point, and turns to a new direction."""
    moved = state.step * state.direction
    memory = _remember(state.memory, moved, gradient - state.gradient)
    size = _largest(gradient)
    # Rounding ends the descent: the value stays, the gradient wanders.
    gained = (value < state.value - _noise(state)) | (size < state.smallest)
    return _State(
        x=state.x + moved,
        value=value,
        gradient=gradient,
        direction=_direction(gradient, memory),
        step=jnp.ones_like(state.step),
        trials=jnp.zeros_like(state.trials),
        still=jnp.where(gained, 0, state.still + 1),
        smallest=jnp.minimum(size, state.smallest),
        iterations=state.iterations + 1,
        memory=memory,
    )


def _shortened(state: _State, value, gradient) -> _State:
    """Tries where the parabola through what is known has its minimum."""
    slope = _dot(state.gradient, state.direction)
    rise = value - state.value - state.step * slope
    best = -slope * state.step**2 / (2 * rise)
    low, high = 0.1 * state.step, 0.5 * state.step
    step = jnp.where(jnp.isfinite(best), jnp.clip(best, low, high), low)
    return state._replace(step=step, trials=state.trials + 1)


def _remember(memory: _Memory, step, change) -> _Memory:
    """With one more pair; one without curvature, which is rounding, is left out."""
    curvature = _dot(step, change)
    place = memory.next
    kept = _Memory(
        steps=memory.steps.at[place].set(step),
        changes=memory.changes.at[place].set(change),
        scale=memory.scale.at[place].set(1 / curvature),
        next=(place + 1) % MEMORY,
    )
    good = curvature > jnp.finfo(curvature.dtype).eps * _dot(change, change)
    return jax.tree.map(lambda new, old: jnp.where(good, new, old), kept, memory)


def _direction(gradient, memory: _Memory):
    """Minus the approximate inverse Hessian times the gradient, by two loops.

    Nocedal and Wright, Numerical Optimization, algorithm 7.4. Empty places of the
    ring have scale 0 and change nothing.
    """

    def newest_first(i, carry):
        vector, shares = carry
        place = (memory.next - 1 - i) % MEMORY
        share = memory.scale[place] * _dot(memory.steps[place], vector)
        return vector - share * memory.changes[place], shares.at[place].set(share)

    def oldest_first(i, vector):
        place = (memory.next + i) % MEMORY
        share = memory.scale[place] * _dot(memory.changes[place], vector)
        return vector + (shares[place] - share) * memory.steps[place]

    shares = jnp.zeros_like(memory.scale)
    vector, shares = jax.lax.fori_loop(0, MEMORY, newest_first, (gradient, shares))
    newest = (memory.next - 1) % MEMORY
    change, scale = memory.changes[newest], memory.scale[newest]
    # The first step has length one; from then on the curvature gives the scale.
    initial = jnp.where(
        scale > 0,
        1 / (scale * _dot(change, change)),
        1 / jnp.sqrt(_dot(gradient, gradient)),
    )
    return -jax.lax.fori_loop(0, MEMORY, oldest_first, initial * vector)


def _noise(state: _State):
    """How much a value may be off by rounding."""
    return NOISE * jnp.finfo(state.value.dtype).eps * jnp.abs(state.value)


def _dot(a, b):
    """The inner product; not a matrix product, whose precision some devices lower."""
    return (a * b).sum()


def _largest(x):
    return jnp.abs(x).max()

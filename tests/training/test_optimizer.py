"""AdamW by hand and against optax, what it does not decay, and bounds on parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.training.optimizer import (
    adamw,
    clamp,
    decay_mask,
    early_decay,
    moving_average,
    scale_by_step,
)
from vlp_jax.training.schedules import learning_rate


def test_weight_decay_is_for_matrices():
    params = {
        "logit_scale": jnp.ones(()),
        "image": {
            "class_token": jnp.ones(4),
            "norm_1": {"scale": jnp.ones(4), "bias": jnp.ones(4)},
            "mlp": {"in": {"kernel": jnp.ones((4, 8)), "bias": jnp.ones(8)}},
            "position_embedding": jnp.ones((5, 4)),
        },
    }
    expected = {
        "logit_scale": False,
        "image": {
            "class_token": False,
            "norm_1": {"scale": False, "bias": False},
            "mlp": {"in": {"kernel": True, "bias": False}},
            "position_embedding": True,
        },
    }
    assert decay_mask(params) == expected
    expected["image"]["position_embedding"] = False
    assert decay_mask(params, ("_embedding$",)) == expected


def test_decay_without_a_gradient_shrinks_matrices_only():
    optimizer = adamw(optax.constant_schedule(0.1), weight_decay=0.5)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    nothing = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(nothing, optimizer.init(params), params, step=0)
    np.testing.assert_allclose(updates["kernel"], np.full((2, 2), -0.05), rtol=1e-6)
    assert not np.asarray(updates["bias"]).any()


def test_the_first_steps_of_adamw_by_hand():
    """Gradients 1 then 3, b1 = 0.9, b2 = 0.98: m / v are 1 / 1, then with bias
    correction (0.09 + 0.3) / 0.19 = 2.0526316 and (0.0196 + 0.18) / 0.0396 = 5.040404.
    """
    optimizer = adamw(optax.constant_schedule(1.0), epsilon=0.0, clip_norm=0)
    params = {"bias": jnp.zeros(1)}
    state, found = optimizer.init(params), []
    for gradient in (1.0, 3.0):
        gradients = {"bias": jnp.full(1, gradient)}
        update, state = optimizer.update(gradients, state, params, step=0)
        found.append(float(update["bias"][0]))
    np.testing.assert_allclose(found, [-1.0, -2.0526316 / 5.040404**0.5], rtol=1e-5)


@pytest.mark.parametrize(
    ("clip_norm", "expected"),
    [(1.0, [0.6, 0.8]), (5.0, [3.0, 4.0]), (50.0, [3.0, 4.0]), (0, [3.0, 4.0])],
)
def test_clipping_keeps_the_direction(clip_norm, expected):
    """Seen in Adam's first moment, (1 - b1) times the clipped gradient."""
    optimizer = adamw(optax.constant_schedule(1.0), clip_norm=clip_norm)
    params = {"a": jnp.zeros(()), "b": jnp.zeros(())}
    gradient = {"a": jnp.float32(3.0), "b": jnp.float32(4.0)}
    _, state = optimizer.update(gradient, optimizer.init(params), params, step=0)
    moment = [float(state[1].mu[name]) / 0.1 for name in "ab"]
    np.testing.assert_allclose(moment, expected, rtol=1e-5)


def test_the_rate_is_that_of_the_step_and_else_all_is_as_in_optax():
    """Bit for bit over ordinary steps; after a skipped one optax is a step behind."""
    rate = learning_rate(20, peak=0.1, warmup_steps=4)
    ours = adamw(rate, clip_norm=1.0, weight_decay=0.2)
    theirs = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(rate, 0.9, 0.98, 1e-6, weight_decay=0.2, mask=decay_mask),
    )
    rng = np.random.default_rng(0)
    params = {
        name: jnp.asarray(rng.normal(size=shape), jnp.float32)
        for name, shape in {"kernel": (8, 4), "bias": (4,)}.items()
    }
    gradients = [jax.tree.map(lambda p, s=s: p * (s - 3.7), params) for s in range(8)]

    def end(optimizer, steps):
        values, state = params, optimizer.init(params)
        optimizer = optax.with_extra_args_support(optimizer)
        update = jax.jit(optimizer.update)
        for step in steps:
            found, state = update(gradients[step], state, values, step=step)
            values = optax.apply_updates(values, found)
        return values

    same, expected = end(ours, range(8)), end(theirs, range(8))
    for name in params:
        np.testing.assert_array_equal(same[name], expected[name])
        assert np.abs(same[name] - params[name]).max() > 0.01
    skipped = [step for step in range(8) if step != 3]
    behind = end(ours, skipped)["kernel"] - end(theirs, skipped)["kernel"]
    assert np.abs(behind).max() > 1e-3


def test_the_rate_is_the_one_of_the_step_that_is_told():
    """Whatever was told before, and in the type of the update."""
    optimizer = scale_by_step(lambda step: jnp.float32(0.5 * step))
    updates = {"a": jnp.float32(2.0), "b": jnp.ones(3, jnp.bfloat16)}
    state = optimizer.init(updates)
    for step in (3, 1, 3):
        found, state = optimizer.update(updates, state, step=step)
        assert float(found["a"]) == -1.0 * step
        assert found["b"].dtype == jnp.bfloat16
        assert found["b"].astype(float).tolist() == [-0.5 * step] * 3
    with pytest.raises(TypeError, match="step"):
        optimizer.update(updates, state)


# ---- beside the update


def test_clamp_touches_only_the_named_path():
    params = {"logit_scale": jnp.float32(9), "image": {"logit_scale": jnp.float32(9)}}
    held = clamp(params, {"logit_scale": (0.0, 4.0)})
    assert float(held["logit_scale"]) == 4 and float(held["image"]["logit_scale"]) == 9
    assert clamp(params, {}) is params
    with pytest.raises(ConfigError, match="'logit_scal'.*did you mean 'logit_scale'"):
        clamp(params, {"logit_scal": (0.0, 4.0)})


def test_a_moving_average_of_counts_is_the_newest():
    average = {"calls": jnp.int32(3), "mean": jnp.bfloat16(1)}
    found = moving_average(
        average, {"calls": jnp.int32(7), "mean": jnp.bfloat16(3)}, 0.5
    )
    assert found == {"calls": 7, "mean": 2} and found["calls"].dtype == jnp.int32


def test_a_moving_average_goes_a_share_of_the_way():
    tree = {"a": jnp.array([1.0, 2.0])}
    other = {"a": jnp.array([3.0, 6.0])}
    np.testing.assert_allclose(moving_average(tree, other, 0.5)["a"], [2.0, 4.0])
    kept = moving_average(tree, other, 1.0)
    np.testing.assert_array_equal(kept["a"], tree["a"])


def test_an_average_forgets_its_start_soon():
    """(1 + step) / (10 + step), until the decay that was asked for is reached."""
    found = [float(early_decay(0.9, jnp.int32(step))) for step in (0, 1, 8, 80, 1000)]
    np.testing.assert_allclose(found, [0.1, 2 / 11, 0.5, 0.9, 0.9], rtol=1e-6)

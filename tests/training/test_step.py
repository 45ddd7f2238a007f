"""The train step and its parts: closed forms, bounds that let go, over-fitting."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT
from vlp_jax.models.vlm import TwoTower
from vlp_jax.objectives.contrastive import Contrastive
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.parallel.sharding import jit_update, place_batch
from vlp_jax.training.optimizer import adamw, clamp, decay_mask, moving_average
from vlp_jax.training.schedules import learning_rate
from vlp_jax.training.state import create_sharded, make_state
from vlp_jax.training.step import make_train_step

LARGEST = 4.6051702  # ln 100


def parabola(centre):
    """(compute_outputs, objective) of the loss (logit_scale - centre)^2 / 2."""
    need = Need("logit_scale")

    class Objective:
        needs = (need,)

        def __call__(self, outputs, step, state):
            loss = (outputs[need] - centre) ** 2 / 2
            return loss, {"loss": loss}, state

    def compute(variables, needs, batch, key):
        live = dict(variables["live"])
        return {n: live["params"][n.name] for n in needs}, {}

    return compute, Objective()


def walk(centre, start, steps, rate=0.1, bounds=None, ema_decay=None):
    """The state after each step of plain descent on a parabola."""
    optimizer = optax.sgd(rate)
    step = make_train_step(
        *parabola(centre), optimizer, 0, bounds or {}, ema_decay=ema_decay
    )
    step = jax.jit(step)
    params = {"params": {"logit_scale": jnp.float32(start)}}
    state = make_state(lambda key: params, optimizer, {}, ema_decay is not None, 0)
    states = [state]
    for _ in range(steps):
        state, metrics = step(state, {})
        states.append(state)
    return states, metrics


def test_a_step_moves_by_the_gradient_and_counts():
    states, metrics = walk(centre=1.0, start=3.0, steps=3)
    values = [float(s.params["logit_scale"]) for s in states]
    np.testing.assert_allclose(values, [3.0, 2.8, 2.62, 2.458], rtol=1e-6)
    np.testing.assert_allclose(metrics["gradient_norm"], 1.62, rtol=1e-6)
    assert [int(s.step) for s in states] == [0, 1, 2, 3]


def test_a_parameter_at_its_bound_can_come_back():
    """The clamp follows the update; inside the graph it would block the gradient."""
    bounds = {"logit_scale": (0.0, LARGEST)}
    up, metrics = walk(centre=9.0, start=4.5, steps=3, bounds=bounds)
    values = [float(s.params["logit_scale"]) for s in up]
    np.testing.assert_allclose(values, [4.5, LARGEST, LARGEST, LARGEST], rtol=1e-6)
    assert float(metrics["gradient_norm"]) > 4  # still pulled
    at_bound = float(up[-1].params["logit_scale"])
    back, _ = walk(centre=3.0, start=at_bound, steps=1, bounds=bounds)
    expected = at_bound - 0.1 * (at_bound - 3.0)
    np.testing.assert_allclose(back[-1].params["logit_scale"], expected, rtol=1e-6)
    below, _ = walk(centre=-9.0, start=0.1, steps=2, bounds=bounds)
    assert float(below[-1].params["logit_scale"]) == 0.0


def test_clamp_touches_only_the_named_path():
    params = {"logit_scale": jnp.float32(9), "image": {"logit_scale": jnp.float32(9)}}
    held = clamp(params, {"logit_scale": (0.0, 4.0)})
    assert float(held["logit_scale"]) == 4 and float(held["image"]["logit_scale"]) == 9
    assert clamp(params, {}) is params
    with pytest.raises(ConfigError, match="'logit_scal'.*did you mean 'logit_scale'"):
        clamp(params, {"logit_scal": (0.0, 4.0)})


def test_moving_average_is_the_closed_form():
    """a_n = d_n a_(n-1) + (1 - d_n) p_n with d_n = min(d, n / (9 + n)), p_n clamped."""
    decay = 0.3
    bounds = {"logit_scale": (0.0, 4.0)}
    states, _ = walk(9.0, 3.0, 6, bounds=bounds, ema_decay=decay)
    values = [float(s.params["logit_scale"]) for s in states]
    assert values[-1] == 4.0
    expected = values[0]
    for n, state in enumerate(states):
        if n:
            d = min(decay, n / (9 + n))  # 0.1, 2/11, 3/12, then 0.3
            expected = d * expected + (1 - d) * values[n]
        np.testing.assert_allclose(state.ema["logit_scale"], expected, rtol=1e-6)
    assert walk(9.0, 3.0, 1)[0][-1].ema == ()
    tree = {"a": jnp.array([1.0, 2.0])}
    other = {"a": jnp.array([3.0, 6.0])}
    np.testing.assert_allclose(moving_average(tree, other, 0.5)["a"], [2.0, 4.0])


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


def test_learning_rate_warms_up_then_follows_a_cosine():
    rate = learning_rate(110, peak=0.8, warmup_steps=10)
    steps = {
        0: 0.0,
        1: 0.08,
        5: 0.4,
        10: 0.8,
        35: 0.682843,
        60: 0.4,
        110: 0.0,
        200: 0.0,
    }
    for step, expected in steps.items():
        np.testing.assert_allclose(rate(step), expected, atol=1e-6)
    final = learning_rate(100, peak=0.8, final_fraction=0.25)
    found = [float(final(step)) for step in (0, 50, 100)]
    np.testing.assert_allclose(found, [0.8, 0.5, 0.2], rtol=1e-6)
    constant = learning_rate(100, peak=0.8, warmup_steps=4, decay="constant")
    found = [float(constant(step)) for step in (0, 1, 4, 99)]
    np.testing.assert_allclose(found, [0.0, 0.2, 0.8, 0.8], rtol=1e-6)


def test_cooldown_is_a_line_from_the_plateau_to_the_end():
    rate = learning_rate(
        100, peak=0.8, warmup_steps=10, decay="constant", cooldown_steps=20
    )
    np.testing.assert_allclose(
        [rate(s) for s in (5, 10, 50, 80, 90, 95, 100)],
        [0.4, 0.8, 0.8, 0.8, 0.4, 0.2, 0.0],
        atol=1e-7,
    )
    with pytest.raises(ConfigError, match="cooldown_steps is 91; warm-up and cooldown"):
        learning_rate(100, 1.0, warmup_steps=10, cooldown_steps=91, decay="constant")
    with pytest.raises(ConfigError, match="a cosine needs no cooldown"):
        learning_rate(100, 1.0, cooldown_steps=9)


def test_learning_rate_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="must lie within the run's 10 steps"):
        learning_rate(10, 1.0, warmup_steps=11)
    with pytest.raises(ConfigError, match="did you mean 'cosine'"):
        learning_rate(10, 1.0, decay="cosin")
    with pytest.raises(ConfigError, match="final_fraction"):
        learning_rate(10, 1.0, decay="constant", final_fraction=0.1)


def test_one_batch_can_be_learned_by_heart():
    """Eight random pairs, from about ln 8 = 2.08 to below 0.05."""
    shape = dict(width=32, depth=1, heads=2)
    model = TwoTower(
        ViT(image_size=8, patch_size=4, **shape),
        TextTransformer(vocab_size=32, length=6, eos_id=3, **shape),
        embedding_size=16,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.3, 0.3, 0.3),
    )
    rng = np.random.default_rng(0)
    tokens = rng.integers(4, 32, (8, 6)).astype(np.int32)
    tokens[:, 5] = 3
    images = rng.integers(0, 256, (8, 8, 8, 3)).astype(np.uint8)
    pairs = {"image": images, "text_tokens": tokens, "valid": np.ones(8, bool)}
    mesh = MeshSpec().make(jax.devices()[:1])
    mixture = Mixture({"contrastive": Contrastive(mesh)}, {"contrastive": 1.0})
    optimizer = adamw(optax.constant_schedule(3e-3), weight_decay=0.0)
    init = functools.partial(
        model.init, images=jnp.asarray(images), tokens=jnp.asarray(tokens)
    )
    make = functools.partial(
        make_state, init, optimizer, mixture.initial_state(), keep_ema=False, seed=0
    )
    bounds = {"logit_scale": (0.0, LARGEST)}
    step = make_train_step(compute_outputs(model), mixture, optimizer, 0, bounds, None)
    state, losses = create_sharded(make, mesh), []
    step = jit_update(step, state)
    for _ in range(60):
        state, metrics = step(state, place_batch({"pairs": pairs}, mesh))
        losses.append(float(metrics["loss"]))
    assert abs(losses[0] - math.log(8)) < 1.0
    assert losses[-1] < 0.05
    assert step._cache_size() == 1

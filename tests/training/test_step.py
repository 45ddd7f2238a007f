"""The train step: closed forms, bounds that let go, over-fitting."""

import functools
import math
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vlp_jax.core.types import Need
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT
from vlp_jax.models.vlm import TwoTower
from vlp_jax.objectives.contrastive import Contrastive
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.parallel.sharding import jit_update, place_batch
from vlp_jax.training.optimizer import adamw
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


def walk(centre, start, steps, rate=0.1, bounds=None, decays=MappingProxyType({})):
    """The state after each step of plain descent on a parabola."""
    optimizer = optax.sgd(rate)
    step = make_train_step(*parabola(centre), optimizer, 0, bounds or {}, decays)
    step = jax.jit(step)
    params = {"params": {"logit_scale": jnp.float32(start)}}
    state = make_state(lambda key: params, optimizer, {}, decays, 0)
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


def test_moving_average_is_the_closed_form():
    """a_n = d_n a_(n-1) + (1 - d_n) p_n with d_n = min(d, n / (9 + n)), p_n clamped."""
    decay = 0.3
    bounds = {"logit_scale": (0.0, 4.0)}
    states, _ = walk(9.0, 3.0, 6, bounds=bounds, decays={"ema": decay})
    values = [float(s.params["logit_scale"]) for s in states]
    assert values[-1] == 4.0
    expected = values[0]
    for n, state in enumerate(states):
        if n:
            d = min(decay, n / (9 + n))  # 0.1, 2/11, 3/12, then 0.3
            expected = d * expected + (1 - d) * values[n]
        np.testing.assert_allclose(state.ema["logit_scale"], expected, rtol=1e-6)
    assert walk(9.0, 3.0, 1)[0][-1].ema == ()


def test_statistics_move_with_the_step_and_are_averaged_too():
    """Those of the live model would not fit the averaged parameters."""
    compute, objective = parabola(9.0)

    def counting(variables, needs, batch, key):
        outputs, _ = compute(variables, needs, batch, key)
        return outputs, {
            "statistics": {"seen": variables["live"]["statistics"]["seen"] + 1}
        }

    optimizer = optax.sgd(0.1)
    step = jax.jit(make_train_step(counting, objective, optimizer, 0, {}, {"ema": 0.3}))
    first = {
        "params": {"logit_scale": jnp.float32(3.0)},
        "statistics": {"seen": jnp.float32(0.0)},
    }
    state = make_state(lambda key: first, optimizer, {}, ("ema",), 0)
    expected = 0.0
    for n in range(1, 5):
        state, _ = step(state, {})
        decay = min(0.3, n / (9 + n))
        expected = decay * expected + (1 - decay) * n
        assert float(state.variables["statistics"]["seen"]) == n
        np.testing.assert_allclose(state.ema["seen"], expected, rtol=1e-6)


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
        make_state, init, optimizer, mixture.initial_state(), averages=(), seed=0
    )
    bounds = {"logit_scale": (0.0, LARGEST)}
    step = make_train_step(compute_outputs(model), mixture, optimizer, 0, bounds, {})
    state, losses = create_sharded(make, mesh), []
    step = jit_update(step, state)
    for _ in range(60):
        state, metrics = step(state, place_batch({"pairs": pairs}, mesh))
        losses.append(float(metrics["loss"]))
    assert abs(losses[0] - math.log(8)) < 1.0
    assert losses[-1] < 0.05
    assert step._cache_size() == 1

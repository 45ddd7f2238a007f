"""A step in micro-batches is the step in one piece, with less memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.parallel.tiny_clip import batch_of, tiny_init, tiny_model
from vlp_jax.core import trees
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.objectives.contrastive import Contrastive
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.objectives.sigmoid import Sigmoid
from vlp_jax.parallel.mesh import MeshSpec, batch_devices
from vlp_jax.parallel.sharding import place_batch
from vlp_jax.training.accumulate import accumulated
from vlp_jax.training.state import create_sharded, make_state
from vlp_jax.training.step import make_train_step

SIZE = 64
OBJECTIVES = {"contrastive": Contrastive, "sigmoid": Sigmoid}


def step_and_state(objective, devices, parts):
    mesh = MeshSpec(devices).make(jax.devices()[:devices])
    settings = {"logit_bias_init": -3.0} if objective == "sigmoid" else {}
    mixture = Mixture({objective: OBJECTIVES[objective](mesh)}, {objective: 1.0})
    optimizer = optax.sgd(0.1, momentum=0.9)  # keeps the gradient of the first step
    make = functools.partial(
        make_state,
        tiny_init(**settings),
        optimizer,
        mixture.initial_state(),
        averages=(),
        seed=0,
    )
    compute = compute_outputs(tiny_model(**settings))
    compute = accumulated(compute, parts, batch_devices(mesh))
    step = make_train_step(compute, mixture, optimizer, 0, {}, {})
    return mesh, jax.jit(step), create_sharded(make, mesh)


@functools.cache
def gradients(objective, devices, parts):
    mesh, step, state = step_and_state(objective, devices, parts)
    with jax.set_mesh(mesh):
        state, metrics = step(state, place_batch(batch_of(0, SIZE), mesh))
    found = trees.flatten(state.opt_state[0].trace)
    return float(metrics["loss"]), {k: np.asarray(v) for k, v in found.items()}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("devices", [pytest.param(1, marks=pytest.mark.long), 8])
@pytest.mark.parametrize(
    "parts",
    [
        2,
        pytest.param(4, marks=pytest.mark.long),
        pytest.param(8, marks=pytest.mark.long),
    ],
)
def test_gradients_are_those_of_the_whole_batch(objective, devices, parts):
    loss, found = gradients(objective, devices, parts)
    expected_loss, expected = gradients(objective, 1, 1)
    assert abs(loss - expected_loss) <= 1e-5 * abs(expected_loss)
    assert "logit_scale" in found and found.keys() == expected.keys()
    assert ("logit_bias" in found) == (objective == "sigmoid")
    largest = max(np.abs(x).max() for x in expected.values())
    for path, value in expected.items():
        # Adding to every key alike has no effect: that gradient is zero but for noise.
        size = largest if path.endswith("key/bias") else np.abs(value).max()
        assert np.abs(found[path] - value).max() <= 1e-5 * size, path


@pytest.mark.long
def test_micro_batches_need_the_memory_of_one():
    def temporaries(size, parts):
        mesh, step, state = step_and_state("contrastive", 1, parts)
        batch = place_batch(batch_of(0, size), mesh)
        with jax.set_mesh(mesh):
            compiled = step.lower(state, batch).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    one = temporaries(512, 1)
    assert temporaries(4096, 8) <= 1.15 * one + 4 * 4096 * 64 * 4  # the embeddings
    assert temporaries(4096, 1) > 4 * one


def test_every_micro_batch_draws_its_own():
    """Noise as an output: no two rows alike, and the same for the same key."""

    def compute(variables, needs, batch, key):
        rows = len(batch["pairs"]["x"])
        noise = jax.random.normal(key, (rows, 3)) + variables["live"]["params"]
        return {need: noise for need in needs}, {
            "count": variables["live"]["count"] + 1
        }

    from vlp_jax.core.types import Need

    variables = {"live": {"params": jnp.zeros(()), "count": jnp.int32(0)}}
    run = jax.jit(
        lambda key: accumulated(compute, 4, 1)(
            variables, [Need("noise"), Need("x")], {"pairs": {"x": jnp.arange(8)}}, key
        )
    )
    outputs, others = run(jax.random.key(0))
    noise = np.asarray(outputs[Need("noise")])
    assert noise.shape == (8, 3) and len(np.unique(noise)) == 24
    assert others == {"count": 4}
    np.testing.assert_array_equal(outputs[Need("x")], np.arange(8))
    again = run(jax.random.key(0))[0][Need("noise")]
    np.testing.assert_array_equal(again, noise)


def test_rows_keep_their_order():
    def compute(variables, needs, batch, key):
        x = batch["pairs"]["x"]
        return {need: x[:, None] * jnp.ones(2) for need in needs}, {}

    from vlp_jax.core.types import Need

    for devices in (1, 4):
        mesh = MeshSpec(devices).make(jax.devices()[:devices])
        batch = place_batch({"pairs": {"x": np.arange(32.0)}}, mesh)
        function = accumulated(compute, 4, devices)
        with jax.set_mesh(mesh):
            found, _ = jax.jit(
                lambda b, f=function: f(
                    {"live": {"params": 0.0}}, [Need("twice")], b, jax.random.key(0)
                )
            )(batch)
        np.testing.assert_array_equal(found[Need("twice")][:, 0], np.arange(32.0))

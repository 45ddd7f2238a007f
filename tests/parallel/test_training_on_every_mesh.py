"""A training step is the same step on every mesh, and its state is shared out."""

import functools

import jax
import numpy as np
import pytest

from tests.parallel.meshes import make_mesh
from tests.parallel.tiny_clip import SGD, batch_of, make_tiny_state, tiny_model
from vlp_jax.core import trees
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.objectives.contrastive import Contrastive
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.parallel.sharding import (
    LAYOUT,
    ZERO,
    bytes_per_device,
    jit_update,
    place_batch,
    tree_shardings,
)
from vlp_jax.training.step import make_train_step

BATCH, STEPS = 16, 10
MESHES = [(8, 1, 1), (2, 4, 1), (2, 2, 2)]
MORE = [pytest.param(sizes, marks=pytest.mark.long) for sizes in ((1, 8, 1), (1, 2, 4))]


@functools.cache
def first_state():
    """On the host: compiled once, not once per mesh."""
    return jax.tree.map(np.asarray, jax.jit(make_tiny_state)())


@functools.cache
def train(sizes, layout=LAYOUT):
    """(losses, gradients of step 1, final state, compiled step) of STEPS steps."""
    mesh = make_mesh(*sizes)
    mixture = Mixture(
        {"contrastive": Contrastive(mesh, tile_size=7)}, {"contrastive": 1}
    )
    state = jax.device_put(first_state(), tree_shardings(first_state(), mesh, layout))
    compute, bounds = compute_outputs(tiny_model()), {"logit_scale": (0.0, 4.6051702)}
    step = jit_update(
        make_train_step(compute, mixture, SGD, 0, bounds, {"ema": 0.9}), state
    )
    losses, gradients = [], None
    with jax.set_mesh(mesh):
        for i in range(STEPS):
            state, metrics = step(state, place_batch(batch_of(i, BATCH), mesh))
            losses.append(float(metrics["loss"]))
            if not i:  # the momentum of descent starts as the gradient
                momentum = state.opt_state[0].trace
                gradients = {
                    k: np.asarray(v) for k, v in trees.flatten(momentum).items()
                }
    return np.array(losses), gradients, state, step


@pytest.mark.parametrize("sizes", MESHES + MORE, ids=str)
def test_training_is_the_same_on_every_mesh(sizes):
    losses, gradients, state, _ = train(sizes)
    expected_losses, expected_gradients, expected, _ = train((1, 1, 1))
    assert abs(losses[-1] - losses[0]) > 1e-2  # it does learn, and so could differ
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    largest = max(np.abs(x).max() for x in expected_gradients.values())
    for path, value in expected_gradients.items():
        # Adding to every key alike has no effect: that gradient is zero but for noise.
        size = largest if path.endswith("key/bias") else np.abs(value).max()
        assert np.abs(gradients[path] - value).max() <= 1e-5 * size, path
    for tree in ("params", "ema"):
        found = trees.flatten(getattr(state, tree))
        for path, value in trees.flatten(getattr(expected, tree)).items():
            assert np.abs(np.asarray(found[path]) - value).max() <= 1e-5, path


@pytest.mark.parametrize("sizes", [(1, 1, 1), *MESHES], ids=str)
def test_the_second_step_does_not_compile_and_nothing_moves(sizes):
    """Without jit_update the compiler splits some biases, and compiles step 2 again."""
    _, _, state, step = train(sizes)
    assert step._cache_size() == 1
    expected = trees.flatten(tree_shardings(state, make_mesh(*sizes)))
    for path, leaf in trees.flatten(state).items():
        assert leaf.sharding == expected[path], path


@pytest.mark.parametrize(
    "sizes", [(8, 1, 1), pytest.param((2, 4, 1), marks=pytest.mark.long)], ids=str
)
def test_zero_trains_the_same_with_a_share_of_the_state(sizes):
    losses, _, state, step = train(sizes, ZERO)
    np.testing.assert_allclose(losses, train((1, 1, 1))[0], rtol=1e-5)
    assert step._cache_size() == 1
    moments = jax.tree.leaves(state.opt_state)
    whole = sum(x.nbytes for x in moments)
    assert bytes_per_device(moments) <= 0.2 * whole
    plain = train(sizes)[2]
    assert bytes_per_device(plain.opt_state) > bytes_per_device(moments)
    assert bytes_per_device(plain.params) == bytes_per_device(state.params)


def test_the_tensor_axis_splits_the_products_of_a_block():
    state = train((2, 2, 2))[2]
    paths = trees.flatten(state.params)
    for name in ("attention/query/kernel", "attention/out/kernel", "mlp/in/kernel"):
        leaf = paths[f"image/encoder/block_0/{name}"]
        assert leaf.addressable_shards[0].data.size == leaf.size // 4, name

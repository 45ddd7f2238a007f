"""Training with batch statistics: the same on every mesh, one micro-batch at a time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.parallel.meshes import make_mesh
from tests.parallel.tiny_clip import SGD, batch_of
from vlp_jax.core import trees
from vlp_jax.core.types import Need
from vlp_jax.models.convolution import STATISTICS
from vlp_jax.models.modified_resnet import ModifiedResNet
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vlm import TwoTower
from vlp_jax.objectives.contrastive import Contrastive
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.parallel.mesh import batch_devices
from vlp_jax.parallel.sharding import (
    LAYOUT,
    ZERO,
    bytes_per_device,
    jit_update,
    place_batch,
    tree_shardings,
)
from vlp_jax.training.accumulate import accumulated
from vlp_jax.training.optimizer import decay_mask
from vlp_jax.training.state import make_state
from vlp_jax.training.step import make_train_step

BATCH, STEPS = 16, 4
MODEL = TwoTower(
    ModifiedResNet(depths=(1, 1), stem_width=16, width=32, image_size=8),
    TextTransformer(vocab_size=64, length=6, eos_id=3, width=32, depth=1, heads=2),
    embedding_size=32,
    image_mean=(0.5,) * 3,
    image_std=(0.3,) * 3,
    project_image=False,
)
IMAGE, TEXT = Need("image_embedding"), Need("text_embedding")


@functools.cache
def first_state():
    init = functools.partial(
        MODEL.init,
        images=jnp.zeros((1, 8, 8, 3), jnp.uint8),
        tokens=jnp.zeros((1, 6), jnp.int32),
    )
    make = functools.partial(make_state, init, SGD, {"contrastive": ()}, ("ema",), 0)
    state = jax.device_get(jax.jit(make)())
    # Else the last gains of the blocks are zero, and nothing depends on most of it.
    params = trees.map_with_path(
        lambda path, x: x + 0.5 if path.endswith("conv_3/norm/scale") else x,
        state.params,
    )
    return state.replace(params=params)


@functools.cache
def train(sizes, layout=LAYOUT, parts=1, steps=STEPS):
    """(losses, gradients and statistics of step 1, final state, compiled step)."""
    mesh = make_mesh(*sizes)
    mixture = Mixture({"contrastive": Contrastive(mesh)}, {"contrastive": 1})
    state = jax.device_put(first_state(), tree_shardings(first_state(), mesh, layout))
    compute = accumulated(compute_outputs(MODEL), parts, batch_devices(mesh))
    step = jit_update(
        make_train_step(compute, mixture, SGD, 0, {}, {"ema": 0.9}), state
    )
    losses, first = [], None
    with jax.set_mesh(mesh):
        for i in range(steps):
            state, metrics = step(state, place_batch(batch_of(i, BATCH), mesh))
            losses.append(float(metrics["loss"]))
            if not i:  # the momentum of descent starts as the gradient
                found = state.opt_state[0].trace, state.variables
                first = [jax.device_get(trees.flatten(tree)) for tree in found]
    return np.array(losses), first, state, step


@pytest.mark.long
@pytest.mark.parametrize(
    ("sizes", "layout"),
    [((8, 1, 1), ZERO), ((2, 2, 2), LAYOUT)],
    ids=["zero", "all axes"],
)
def test_training_is_the_same_on_every_mesh(sizes, layout):
    losses, (gradients, _), state, step = train(sizes, layout)
    expected_losses, (expected_gradients, _), expected, _ = train((1, 1, 1))
    assert abs(losses[-1] - losses[0]) > 1e-2  # it does learn, and so could differ
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    largest = max(np.abs(x).max() for x in expected_gradients.values())
    for path, value in expected_gradients.items():
        # Adding to every key alike has no effect: that gradient is zero but for noise.
        size = largest if path.endswith("key/bias") else np.abs(value).max()
        assert np.abs(gradients[path] - value).max() <= 1e-4 * size, path
    for tree in ("params", "variables", "ema"):
        found = trees.flatten(getattr(state, tree))
        for path, value in trees.flatten(getattr(expected, tree)).items():
            assert np.abs(np.asarray(found[path]) - value).max() <= 1e-5, path
    assert step._cache_size() == 1  # the second step compiled nothing
    places = trees.flatten(tree_shardings(state, make_mesh(*sizes), layout))
    assert all(x.sharding == places[p] for p, x in trees.flatten(state).items())
    if layout is ZERO:
        whole = sum(x.nbytes for x in jax.tree.leaves(state.opt_state))
        assert bytes_per_device(state.opt_state) < 0.5 * whole


def test_statistics_are_no_parameters():
    """No gradient, no momentum, no decay; gains and biases have no decay either."""
    _, (gradients, _), state, _ = train((1, 1, 1))
    assert not [path for path in gradients if path.endswith(("mean", "variance"))]
    moved = trees.flatten(state.variables)
    before = trees.flatten(first_state().variables)
    assert moved.keys() == before.keys() and len(moved) == 22
    assert all((np.asarray(moved[path]) != before[path]).any() for path in moved)
    decayed = trees.flatten(decay_mask(state.params))
    kinds = {path.split("/")[-1] for path, yes in decayed.items() if yes}
    assert kinds == {"kernel", "position_embedding", "token_embedding"}


def test_every_micro_batch_has_its_own_statistics():
    """They pass from one to the next: two steps of a tenth of the way."""
    state = train((1, 1, 1), parts=2, steps=1)[2]
    live = {"params": first_state().params, **first_state().variables}
    images = batch_of(0, BATCH)["pairs"]["image"]
    encode = jax.jit(
        functools.partial(MODEL.apply, method="image_embedding", mutable=[STATISTICS])
    )
    for part in np.split(images, 2):
        live |= encode(live, part)[1]
    found = trees.flatten(state.variables)
    for path, value in trees.flatten({STATISTICS: live[STATISTICS]}).items():
        np.testing.assert_allclose(found[path], value, rtol=1e-5, atol=1e-6)
    whole = train((1, 1, 1))[1][1]
    differ = [p for p in found if np.abs(found[p] - whole[p]).max() > 1e-3]
    assert len(differ) > 10  # as it must be said where accumulation is chosen


def test_a_tower_that_is_not_asked_keeps_its_statistics():
    live = {"params": first_state().params, **first_state().variables}
    live, batch = jax.tree.map(jnp.asarray, (live, batch_of(0, BATCH)))

    @functools.partial(jax.jit, static_argnums=0)
    def after(need):
        return compute_outputs(MODEL)({"live": live}, [need], batch, jax.random.key(0))[
            1
        ]

    before = first_state().variables
    for need in (IMAGE, TEXT):
        same = jax.tree.map(np.array_equal, after(need), before)
        assert jax.tree.all(same) == (need is TEXT)

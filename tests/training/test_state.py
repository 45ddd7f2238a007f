"""The state of a run: what trains and what stays, its shards, and its checkpoints."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.parallel.meshes import make_mesh
from tests.parallel.tiny_clip import make_tiny_state
from vlp_jax.core import trees
from vlp_jax.parallel.sharding import ZERO, bytes_per_device
from vlp_jax.training.state import (
    create_sharded,
    items_of,
    make_state,
    state_from,
    state_shapes,
    variables_of,
)


def init(key):
    """Variables of a model with two towers, a scale, and statistics of its batches."""
    draw = functools.partial(jax.random.normal, shape=(4, 4))
    return {
        "params": {
            "image": {"kernel": draw(jax.random.fold_in(key, 0))},
            "text": {"kernel": draw(jax.random.fold_in(key, 1))},
            "scale": jnp.float32(2.0),
        },
        "statistics": {"mean": jnp.full(3, 5.0)},
    }


def fresh(averages=("ema",), seed=0, trains=None):
    objectives = {"loss": {"calls": jnp.int32(7)}}
    return make_state(init, optax.adam(0.1), objectives, averages, seed, trains)


def not_image(path: str) -> bool:
    return not path.startswith("image/")


def paths(tree) -> set[str]:
    return set(trees.flatten(tree))


def assert_same(one, other) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_fresh_state_has_done_nothing():
    state = fresh()
    assert (int(state.step), int(state.nonfinite)) == (0, 0)
    assert state.step.dtype == state.nonfinite.dtype == jnp.int32
    expected = init(jax.random.key(0))
    assert_same(state.params, expected["params"])
    assert_same(state.ema, {**expected["params"], **expected["statistics"]})
    assert_same(state.variables, {"statistics": expected["statistics"]})
    assert state.frozen == {} and int(state.opt_state[0].count) == 0
    assert int(state.objective_state["loss"]["calls"]) == 7
    assert fresh(averages=()).ema == ()


def test_the_seed_decides_what_is_drawn():
    assert_same(fresh(seed=3), fresh(seed=3))
    one, other = (fresh(seed=seed).params["text"]["kernel"] for seed in (3, 4))
    assert (one != other).all()


def test_what_does_not_train_stands_apart():
    state = fresh(trains=not_image)
    assert paths(state.params) == {"text/kernel", "scale"}
    assert paths(state.ema) == {"text/kernel", "scale", "mean"}
    assert paths(state.frozen) == {"image/kernel"}
    assert not [path for path in paths(state.opt_state) if "image" in path]
    assert_same(variables_of(state), init(jax.random.key(0)))


@pytest.mark.parametrize("trains", [None, not_image], ids=["all train", "some stay"])
def test_the_model_is_applied_with_params_or_with_their_average(trains):
    state = fresh(trains=trains)
    state = state.replace(ema=jax.tree.map(lambda x: x + 1, state.ema))
    model, average = variables_of(state), variables_of(state, "ema")
    assert paths(model) == paths(average) == paths(init(jax.random.key(0)))
    averaged = {"params/text/kernel", "params/scale", "statistics/mean"}
    if trains is None:
        averaged.add("params/image/kernel")
    for path, leaf in trees.flatten(average).items():
        expected = trees.flatten(model)[path] + (path in averaged)
        np.testing.assert_array_equal(leaf, expected, err_msg=path)


@pytest.mark.parametrize("trains", [None, not_image], ids=["all train", "some stay"])
@pytest.mark.parametrize("averages", [(), ("ema",), ("ema", "momentum")])
def test_a_checkpoint_gives_the_state_back(trains, averages):
    state = fresh(averages, trains=trains)
    state = state.replace(step=jnp.int32(5), nonfinite=jnp.int32(2))
    items = items_of(state)
    assert set(items) == {"model", "training", *averages}
    # Whatever trains, a checkpoint holds all parameters under the names of the model.
    assert paths(items["model"]) == paths(init(jax.random.key(0)))
    if averages:
        expected = init(jax.random.key(0))
        assert paths(items["ema"]) == paths(expected["params"]) | {"mean"}
    training = items["training"]
    assert set(training) == {"step", "nonfinite", "optimizer", "objectives"}
    assert (int(training["step"]), int(training["nonfinite"])) == (5, 2)
    assert_same(state_from(items, trains), state)


def test_shapes_and_places_are_known_before_anything_is_made():
    mesh = make_mesh(2, 4, 1)
    found = state_shapes(make_tiny_state, mesh, ZERO)
    made = create_sharded(make_tiny_state, mesh, ZERO)
    assert jax.tree.structure(found) == jax.tree.structure(made)
    for shape, leaf in zip(*map(jax.tree.leaves, (found, made)), strict=True):
        assert isinstance(shape, jax.ShapeDtypeStruct)
        assert (shape.shape, shape.dtype) == (leaf.shape, leaf.dtype)
        assert shape.sharding == leaf.sharding


def test_a_state_may_be_made_from_arrays():
    """As the values of another checkpoint, which are no constants of the program."""
    mesh = make_mesh(2, 1, 1)
    value = jnp.arange(16.0).reshape(4, 4)

    def make(values=()):
        state = fresh()
        kernel = values["kernel"] if values else state.params["text"]["kernel"]
        return state.replace(params={**state.params, "text": {"kernel": kernel}})

    state = create_sharded(make, mesh, arguments=({"kernel": value},))
    np.testing.assert_array_equal(state.params["text"]["kernel"], value)


def test_a_fresh_state_is_made_in_its_shards():
    """Parameters, momentum and average: each device holds about an eighth of them."""
    mesh = make_mesh(1, 8, 1)
    state = create_sharded(make_tiny_state, mesh)
    leaves, whole = jax.tree.leaves(state), jax.jit(make_tiny_state)()
    assert bytes_per_device(state) <= 0.2 * sum(x.nbytes for x in leaves)
    for found, expected in zip(leaves, jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    shapes = jax.tree.leaves(state_shapes(make_tiny_state, mesh))
    assert [x.sharding for x in shapes] == [x.sharding for x in leaves]

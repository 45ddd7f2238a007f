"""Values of another checkpoint: which fit, how positions change, where they land."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax.checkpoint.storage import CheckpointStore
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.parallel.sharding import placed_shapes, tree_shardings
from vlp_jax.transfer.initialise import (
    InitialWeights,
    cut_or_extend,
    match,
    resize_grid,
    with_values,
)


def shape(*size):
    return jax.ShapeDtypeStruct(size, jnp.float32)


def random(*size):
    return np.random.default_rng(sum(size)).normal(size=size).astype(np.float32)


# ---- which parameters fit


RUN = {
    "image/class_token": shape(8),
    "image/position_embedding": shape(10, 8),
    "image/new_norm": shape(8),
    "image_projection/kernel": shape(8, 4),
    "text/position_embedding": shape(7, 6),
    "text/token_embedding": shape(300, 6),
}
SAVED = {
    "image/class_token": shape(8),
    "image/position_embedding": shape(5, 8),
    "image/old_norm": shape(8),
    "image_projection/kernel": shape(8, 16),
    "text/position_embedding": shape(9, 6),
    "text/token_embedding": shape(400, 6),
}


def test_every_list_by_itself():
    found = match(RUN, SAVED)
    assert found.loaded == ["image/class_token"]
    assert found.resized == {
        "image/position_embedding": "[5, 8] -> [10, 8]",
        "text/position_embedding": "[9, 6] -> [7, 6]",
    }
    assert found.missing == ["image/new_norm"]
    assert found.unexpected == ["image/old_norm"]
    assert found.wrong_shape == [
        "image_projection/kernel (expected [8, 4], got [8, 16])",
        "text/token_embedding (expected [300, 6], got [400, 6])",
    ]


def test_parts_that_are_not_asked_for_are_in_no_list():
    found = match(RUN, SAVED, ("^image/",))
    assert (found.missing, found.unexpected) == (["image/new_norm"], ["image/old_norm"])
    assert found.used == ["image/class_token", "image/position_embedding"]
    assert found.wrong_shape == []
    with pytest.raises(ConfigError, match="initialise.parts: 'imgae'.*mean 'image'"):
        match(RUN, SAVED, ("imgae",))


@pytest.mark.parametrize(
    ("saved", "run", "fits"),
    [
        ((5, 8), (10, 8), True),  # 2x2 -> 3x3, class token in both
        ((4, 8), (9, 8), True),  # none in either (SigLIP)
        ((5, 8), (9, 8), False),  # a class token appears or vanishes
        ((7, 8), (10, 8), False),  # 6 patches are no square
        ((5, 8), (10, 6), False),  # another width
    ],
)
def test_which_grids_can_be_resized(saved, run, fits):
    path = "image/position_embedding"
    found = match({path: shape(*run)}, {path: shape(*saved)})
    assert (path in found.resized) == fits == (not found.wrong_shape)


# ---- positions


@pytest.mark.parametrize("sides", [(7, 12), (12, 7), (4, 5)])
@pytest.mark.parametrize("tokens", [0, 1])
def test_a_grid_is_resized_as_torch_does_it(sides, tokens):
    import torch

    old, new = sides
    saved = random(tokens + old**2, 6)
    found = resize_grid(jnp.asarray(saved), jnp.zeros((tokens + new**2, 6)))
    grid = torch.tensor(saved[tokens:]).reshape(1, old, old, 6).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(
        grid, (new, new), mode="bicubic", antialias=True, align_corners=False
    )
    expected = expected.permute(0, 2, 3, 1).reshape(new**2, 6).numpy()
    np.testing.assert_allclose(found[tokens:], expected, atol=1e-5)
    assert np.asarray(found[:tokens]).tobytes() == saved[:tokens].tobytes()


def test_text_positions_are_cut_or_extended():
    saved, fresh = random(4, 3), np.full((6, 3), 7.0, np.float32)
    found = np.asarray(cut_or_extend(jnp.asarray(saved), jnp.asarray(fresh)))
    np.testing.assert_array_equal(found[:4], saved)
    np.testing.assert_array_equal(found[4:], fresh[4:])
    found = cut_or_extend(jnp.asarray(saved), jnp.asarray(fresh[:2]))
    np.testing.assert_array_equal(found, saved[:2])


# ---- from a checkpoint into a run


def init(key):
    """Fresh values of a run that differs from the checkpoint in its grid."""
    return {
        "params": {
            "image": {
                "mlp": {"kernel": jax.random.normal(key, (64, 128))},
                "norm": {"scale": jnp.ones(64)},
                "position_embedding": jnp.zeros((10, 64)),
            },
            "text": {"mlp": {"kernel": jnp.full((64, 64), 3.0)}},
        }
    }


SAVED_PARAMS = {
    "image": {
        "mlp": {"kernel": random(64, 128)},
        "norm": {"scale": random(64)},
        "position_embedding": random(5, 64),
    },
    "text": {"mlp": {"kernel": random(64, 64)}, "token_embedding": random(30, 64)},
}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A checkpoint whose average is twice the values."""
    folder = tmp_path_factory.mktemp("saved")
    store = CheckpointStore(folder, keep=1)
    ema = jax.tree.map(lambda x: 2 * x, SAVED_PARAMS)
    items = {
        "model": {"params": SAVED_PARAMS},
        "ema": ema,
        "training": {"step": np.int32(3)},
    }
    store.save(3, items, {"config.json": b"{}"})
    store.close()
    return folder


def placed(mesh, fresh=init):
    shapes = jax.eval_shape(fresh, jax.random.key(0))["params"]
    return placed_shapes(shapes, tree_shardings(shapes, mesh))


def test_values_come_in_the_shards_of_the_run(workdir):
    mesh = MeshSpec(fsdp=4).make()
    run = placed(mesh)
    values, found = InitialWeights(str(workdir), parts=("^image",)).read(run)
    assert values.keys() == {f"image/{n}" for n in run["image"] if n[0] == "p"} | {
        "image/mlp/kernel",
        "image/norm/scale",
    }
    kernel = values["image/mlp/kernel"]
    assert kernel.sharding == run["image"]["mlp"]["kernel"].sharding
    assert kernel.addressable_shards[0].data.shape == (64, 32)  # no device has all
    np.testing.assert_array_equal(kernel, SAVED_PARAMS["image"]["mlp"]["kernel"])

    params = jax.jit(lambda values: with_values(init, values)(jax.random.key(0)))(
        values
    )["params"]
    leaf = params["image"]["position_embedding"]
    saved = SAVED_PARAMS["image"]["position_embedding"]
    np.testing.assert_allclose(leaf, resize_grid(saved, jnp.zeros((10, 64))), atol=1e-6)
    np.testing.assert_array_equal(params["image"]["mlp"]["kernel"], kernel)
    assert np.all(np.asarray(params["text"]["mlp"]["kernel"]) == 3.0)


def test_the_moving_average(workdir):
    mesh = MeshSpec().make()
    step = workdir / "checkpoints" / "3"
    initial = InitialWeights(str(step), weights="ema", parts=("^text/mlp",))
    values, _ = initial.read(placed(mesh))
    assert list(values) == ["text/mlp/kernel"]
    expected = 2 * SAVED_PARAMS["text"]["mlp"]["kernel"]
    np.testing.assert_array_equal(values["text/mlp/kernel"], expected)


def test_statistics_come_with_their_tower(tmp_path):
    """Running statistics of batches, or with the average theirs."""
    store = CheckpointStore(tmp_path, keep=1)
    statistics = {"image": {"norm": {"mean": random(64)}}, "text": {"mean": random(3)}}
    one = trees.union({"params": SAVED_PARAMS, "statistics": statistics})
    items = {
        "model": {"params": SAVED_PARAMS, "statistics": statistics},
        "ema": jax.tree.map(lambda x: 2 * x, one),
    }
    store.save(1, items, {"config.json": b"{}"})
    store.close()

    def with_mean(key):
        mean = {"image": {"norm": {"mean": jnp.zeros(64)}}}
        return {**init(key), "statistics": mean}

    shapes = jax.eval_shape(with_mean, jax.random.key(0))
    mesh = MeshSpec().make()
    run = trees.union(placed_shapes(shapes, tree_shardings(shapes, mesh)))
    for weights, factor in (("model", 1), ("ema", 2)):
        initial = InitialWeights(str(tmp_path), weights, ("^image/norm",))
        values, found = initial.read(run)
        assert set(found.loaded) == {"image/norm/scale", "image/norm/mean"}
        fresh = jax.jit(lambda v: with_values(with_mean, v)(jax.random.key(0)))(values)
        for name, saved in (("params", SAVED_PARAMS), ("statistics", statistics)):
            expected = trees.flatten(saved["image"]["norm"])
            assert set(expected) <= {"scale", "mean"}
            for leaf, value in expected.items():
                np.testing.assert_array_equal(
                    fresh[name]["image"]["norm"][leaf], factor * value
                )


def test_whether_the_tokenizer_comes_along(workdir):
    name = "text/token_embedding"
    assert InitialWeights(str(workdir)).brings(name)
    assert InitialWeights(str(workdir), parts=("^text",)).brings(name)
    assert not InitialWeights(str(workdir), parts=("^image",)).brings(name)
    assert not InitialWeights(str(workdir)).brings("text/token_embeddings")


def test_what_cannot_be_used_is_said_in_lists(workdir):
    mesh = MeshSpec().make()

    def wider(key):
        params = trees.flatten(init(key)["params"])
        params["image/norm/scale"] = jnp.ones(65)
        params["image/head"] = jnp.ones(3)
        return {"params": trees.unflatten(params)}

    with pytest.raises(ConfigError) as caught:
        InitialWeights(str(workdir)).read(placed(mesh, wider))
    said = str(caught.value)
    assert "1 missing: image/head; 1 unexpected: text/token_embedding; " in said
    assert "1 wrong shape: image/norm/scale (expected [65], got [64])" in said
    assert "--config.initialise.parts=" in said
    values, found = InitialWeights(str(workdir), parts=("^text",)).read(
        placed(mesh, wider)
    )
    assert list(values) == ["text/mlp/kernel"] and found.missing == []
    with pytest.raises(ConfigError, match="does not fit: 1 missing: image/head"):
        InitialWeights(str(workdir), parts=("head",)).read(placed(mesh, wider))


def test_settings_that_make_no_sense(workdir, tmp_path):
    with pytest.raises(ConfigError, match="unknown initialise.weights 'avg'"):
        InitialWeights(str(workdir), weights="avg")
    with pytest.raises(ConfigError, match="initialise.parts is .*regular expressions"):
        InitialWeights(str(workdir), parts=("(",))
    with pytest.raises(ConfigError, match="no checkpoint at"):
        InitialWeights(str(tmp_path)).brings("text/token_embedding")

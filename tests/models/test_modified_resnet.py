"""CLIP's residual network: open_clip's numbers, paths, sizes and how it pools."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import resnet_pair
from tests.models.builders import shapes
from tests.models.comparison import error
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models import sizes
from vlp_jax.models.convolution import STATISTICS
from vlp_jax.models.modified_resnet import ModifiedResNet, average_pool

SMALL = dict(depths=(1, 2), stem_width=8, width=6, image_size=16)
# millions of parameters with the text tower (open_clip's model_profile.csv)
MILLIONS = {
    "RN50": "102.0",
    "RN101": "119.7",
    "RN50x4": "178.3",
    "RN50x16": "291.0",
    "RN50x64": "623.3",
}


@pytest.mark.parametrize("trains", [False, True], ids=["evaluates", "trains"])
def test_the_numbers_of_open_clip(trains):
    """tests/peers compares all of it, gradients too; this is quick."""
    model = ModifiedResNet(**resnet_pair.CLIP)
    variables = resnet_pair.variables(model, model.image_size)
    mutable = [STATISTICS] if trains else []
    run = jax.jit(functools.partial(model.apply, mutable=mutable))
    found, _ = run(variables, resnet_pair.CLIP_PICTURES[0])
    expected = resnet_pair.OPEN_CLIP["0/embedding" if trains else "evaluation"]
    assert error(found[0], np.array(expected)) <= 1e-5


@pytest.mark.parametrize("size", sizes.MODIFIED_RESNET)
def test_parameters(size):
    model = resnet_pair.published(size)
    params, outputs = shapes(model)
    assert f"{trees.count(params) / 1e6:.1f}" == MILLIONS[size]
    assert [x.shape for x in outputs] == [(2, model.embedding_size)] * 2
    assert "image_projection" not in params
    side = model.image.image_size // 32
    channels = 32 * model.image.stem_width
    assert params["image"]["position_embedding"].shape == (side**2 + 1, channels)


def layer(path, *shape):
    features = shape[-1:]
    norm = [f"{path}/norm/bias {features}", f"{path}/norm/scale {features}"]
    return [f"{path}/kernel {shape}", *norm]


def attention(name, *shape):
    return [f"attention/{name}/bias {shape[-1:]}", f"attention/{name}/kernel {shape}"]


GOLDEN = [
    *attention("query", 64, 64),
    *attention("key", 64, 64),
    *attention("value", 64, 64),
    *attention("out", 64, 6),
    "position_embedding (5, 64)",
    *layer("stem_1", 3, 3, 3, 4),
    *layer("stem_2", 3, 3, 4, 4),
    *layer("stem_3", 3, 3, 4, 8),
    *layer("stage_1/block_0/conv_1", 1, 1, 8, 8),
    *layer("stage_1/block_0/conv_2", 3, 3, 8, 8),
    *layer("stage_1/block_0/conv_3", 1, 1, 8, 32),
    *layer("stage_1/block_0/shortcut", 1, 1, 8, 32),
    *layer("stage_2/block_0/conv_1", 1, 1, 32, 16),
    *layer("stage_2/block_0/conv_2", 3, 3, 16, 16),
    *layer("stage_2/block_0/conv_3", 1, 1, 16, 64),
    *layer("stage_2/block_0/shortcut", 1, 1, 32, 64),
    *layer("stage_2/block_1/conv_1", 1, 1, 64, 16),
    *layer("stage_2/block_1/conv_2", 3, 3, 16, 16),
    *layer("stage_2/block_1/conv_3", 1, 1, 16, 64),
]


def initialised(**settings):
    model = ModifiedResNet(**(SMALL | settings))
    pictures = jnp.zeros((2, 16, 16, 3))
    return model, jax.jit(model.init)(jax.random.key(0), pictures)


def test_variable_paths():
    """Checkpoints, sharding, freezing and ports match on these."""
    _, found = initialised()
    params = trees.flatten(found["params"])
    assert sorted(f"{k} {x.shape}" for k, x in params.items()) == sorted(GOLDEN)
    norms = [path.rpartition("/")[0] for path in params if path.endswith("scale")]
    statistics = {f"{norm}/{name}" for norm in norms for name in ("mean", "variance")}
    assert set(trees.flatten(found[STATISTICS])) == statistics


def test_at_first_a_block_adds_nothing():
    """The gain of its last normalisation starts at zero."""
    params = trees.flatten(initialised()[1]["params"])
    gains = {path: x for path, x in params.items() if path.endswith("scale")}
    for path, gain in gains.items():
        assert (np.asarray(gain) == (not path.endswith("conv_3/norm/scale"))).all()


def test_average_pooling():
    grid = jnp.arange(2 * 4 * 4 * 3.0).reshape(2, 4, 4, 3)
    found = average_pool(grid, 2)
    assert found.shape == (2, 2, 2, 3)
    np.testing.assert_allclose(found[0, 0, 0], grid[0, :2, :2].mean((0, 1)))
    np.testing.assert_allclose(found[1, 1, 0], grid[1, 2:, :2].mean((0, 1)))
    np.testing.assert_array_equal(average_pool(grid, 1), grid)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 20}, "image_size is 20, which cannot be halved 3 times; take"),
        ({"stem_width": 6}, "stem_width is 6, which makes 48 channels; heads of 64"),
        ({"depths": ()}, "model.image.depths is"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        model = ModifiedResNet(**(SMALL | settings))
        size = model.image_size
        jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, size, size, 3)))


def test_pictures_of_another_size():
    model = ModifiedResNet(**SMALL)
    with pytest.raises(ConfigError, match="built for 16x16 pixels and got 32x32; set"):
        jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 32, 32, 3)))


def test_its_grid_is_what_the_attention_looks_at():
    """A quarter of the pixels, halved by the second stage, before the last product."""
    model, images = ModifiedResNet(**SMALL), jnp.zeros((2, 16, 16, 3))
    apply = functools.partial(model.apply, pooled=False)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    assert jax.eval_shape(apply, variables, images).shape == (2, 2 * 2, 64)
    init = functools.partial(model.init, pooled=False)
    params = jax.eval_shape(init, jax.random.key(0), images)["params"]
    assert params.keys() == {"stem_1", "stem_2", "stem_3", "stage_1", "stage_2"}

"""The vision transformer: what it pools, and settings that cannot be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.builders import SMALL
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.stream_vit import StreamViT
from vlp_jax.models.vit import POOLS, ViT


@pytest.mark.parametrize(
    ("pool", "seen"), [("class", [0]), ("pooler", [0]), ("mean", [1, 2, 3, 4])]
)
def test_the_pooled_tokens(pool, seen):
    """The class token comes first; the mean is that of the patches."""
    tokens = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 8)))
    expected = np.asarray(tokens)[:, seen].mean(axis=1)
    np.testing.assert_allclose(POOLS[pool](tokens), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "gelutanh"}, "unknown activation .* did you mean 'gelu_tanh'"),
        ({"pool": "clas"}, "unknown image pooling 'clas'; .*did you mean 'class'"),
        ({"attention": "cuda"}, "unknown attention 'cuda'; known: cudnn, xla"),
        ({"attention": "cudnn"}, "needs a GPU, and this runs on cpu; set attention"),
        ({"patch_dropout": 1.5}, "model.image.patch_dropout is 1.5; expected 0 to 1"),
        ({"dtype": "float16"}, "unknown dtype 'float16'; known: bfloat16, float32"),
        ({"heads": 3}, "width of 8 cannot be split over 3 heads"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    model = ViT(image_size=8, patch_size=4, **(SMALL | settings))
    with pytest.raises(ConfigError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 8, 8, 3)))


@pytest.mark.parametrize(
    ("tower", "settings", "std"),
    [
        (ViT, {}, 8**-0.5),
        (ViT, {"position_std": 1.0}, 1.0),
        (StreamViT, {}, 0.02),
        (StreamViT, {"position_std": 1.0}, 1.0),
    ],
)
def test_the_scale_of_initial_positions(tower, settings, std):
    """Nothing else begins otherwise."""

    def begin(**settings):
        model = tower(image_size=64, patch_size=4, **SMALL | settings)
        params = model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
        return params.pop("position_embedding"), params

    positions, others = begin(**settings)
    assert float(positions.std()) == pytest.approx(std, rel=0.1)
    jax.tree.map(np.testing.assert_array_equal, others, begin()[1])


@pytest.mark.parametrize("tower", [ViT, StreamViT])
def test_a_scale_of_positions_below_zero(tower):
    model = tower(image_size=8, patch_size=4, position_std=-1.0, **SMALL)
    with pytest.raises(ConfigError, match="model.image.position_std is -1.0; expected"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))

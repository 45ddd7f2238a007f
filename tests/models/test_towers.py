"""What towers share: how pictures enter them, and patches dropped in training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

from tests.models.builders import SHAPE, SMALL, batch, small, two_tower
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.models.siglip import SiglipViT
from vlp_jax.models.vit import PlainViT, ViT
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.parallel.sharding import BATCH


def test_pictures_of_another_size():
    images, tokens = np.zeros((2, 12, 12, 3), np.uint8), np.zeros((2, 7), np.int32)
    with pytest.raises(ConfigError, match="built for 8x8 pixels and got 12x12; set"):
        jax.eval_shape(small().init, jax.random.key(0), images, tokens)


def test_patches_that_do_not_fill_the_picture():
    model = ViT(image_size=9, patch_size=4, **SMALL)
    with pytest.raises(ConfigError, match="9 is not a multiple of .*patch_size 4"):
        jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 9, 9, 3)))


TOWERS = {"vit": ViT, "siglip_vit": SiglipViT, "plain_vit": PlainViT}
EACH = pytest.mark.parametrize("kind", TOWERS)


def tower(kind, **settings):
    return TOWERS[kind](image_size=16, patch_size=4, **SHAPE, **settings)


@functools.cache
def some_params(kind):
    """Random values everywhere, so that positions and class token matter."""
    shapes = jax.eval_shape(tower(kind).init, jax.random.key(0), pictures())
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: np.float32(0.5 * rng.normal(size=x.shape)), shapes)


def pictures(rows=8):
    """The same picture in every row."""
    return jnp.tile(
        jax.random.normal(jax.random.key(2), (1, 16, 16, 3)), (rows, 1, 1, 1)
    )


def tokens_kept(kind, model, **rngs):
    """How many tokens go into the trunk."""

    def run(params):
        return model.apply(
            params,
            pictures(),
            rngs=rngs,
            capture_intermediates=lambda module, _: module.name == "encoder",
        )

    _, state = jax.eval_shape(run, some_params(kind))
    return state["intermediates"]["encoder"]["__call__"][0].shape[1]


@EACH
@pytest.mark.parametrize(
    ("fraction", "kept"), [(0.0, 16), (0.5, 8), (0.74, 4), (1.0, 1)]
)
def test_training_keeps_a_fixed_number_of_patches(kind, fraction, kept):
    model, class_token = tower(kind, patch_dropout=fraction), int(kind != "siglip_vit")
    assert tokens_kept(kind, model, dropout=jax.random.key(0)) == kept + class_token
    assert tokens_kept(kind, model) == 16 + class_token  # evaluation


@EACH
def test_every_picture_loses_other_patches(kind):
    model = tower(kind, patch_dropout=0.5)
    apply = jax.jit(lambda key: model.apply(some_params(kind), pictures(), rngs=key))
    first, again = (apply({"dropout": jax.random.key(0)}) for _ in range(2))
    other = apply({"dropout": jax.random.key(1)})
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.asarray(first).round(4), axis=0)) == len(first)
    assert np.abs(first - other).max(axis=1).min() > 1e-3


class Drop(ViT, kw_only=True):
    """Dropping alone."""

    def __call__(self, tokens):
        return self.drop_patches(tokens)


def test_the_kept_patches_are_a_fair_choice():
    """Distinct patches of the own picture, each kept as often as another."""
    drop = Drop(image_size=16, patch_size=4, patch_dropout=0.75, **SHAPE)
    rows = 2000
    given = (100 * jnp.arange(rows)[:, None] + jnp.arange(16))[..., None]
    kept = drop.apply({}, given.astype(float), rngs={"dropout": jax.random.key(0)})
    kept = np.asarray(kept)[..., 0]
    assert kept.shape == (rows, 4)
    assert (kept // 100 == np.arange(rows)[:, None]).all()
    assert all(len(set(row)) == 4 for row in kept)
    counts = np.bincount(kept.astype(int).ravel() % 100, minlength=16)
    expected = rows * 4 / 16
    # 15 degrees of freedom, less the variance taken by drawing without repeats
    assert ((counts - expected) ** 2).sum() / expected < 37.7  # p = 0.001


def test_dropped_patches_get_no_gradient():
    model, kind = tower("siglip_vit", patch_dropout=0.5), "siglip_vit"

    def loss(images):
        key = {"dropout": jax.random.key(0)}
        return (model.apply(some_params(kind), images, rngs=key) ** 2).sum()

    gradient = np.asarray(jax.jit(jax.grad(loss))(pictures()))
    patches = gradient.reshape(8, 4, 4, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    touched = (patches != 0).any(axis=(3, 4, 5)).reshape(8, 16)
    np.testing.assert_array_equal(touched.sum(axis=1), 8)


def test_dropping_needs_no_communication_and_is_the_same_on_eight_devices():
    drop = Drop(image_size=16, patch_size=4, patch_dropout=0.5, **SHAPE)
    tokens = jax.random.normal(jax.random.key(0), (16, 16, 16))
    key = jax.random.key(3)

    @jax.jit
    def run(tokens):
        return drop.apply({}, tokens, rngs={"dropout": key})

    expected = run(tokens)
    split = jax.device_put(tokens, NamedSharding(MeshSpec().make(), BATCH))
    compiled = run.lower(split).compile()
    assert "all-" not in compiled.as_text() and "permute" not in compiled.as_text()
    np.testing.assert_array_equal(compiled(split), expected)


def test_a_train_step_drops_patches_and_the_step_decides_which():
    """compute_outputs gives the key; without it, as in a predictor, nothing drops."""
    image = SHAPE | {"patch_size": 4, "patch_dropout": 0.5}
    model = two_tower(image, SHAPE, 8, 16, vocabulary=20, length=8)
    images, tokens = batch()
    params = jax.jit(model.init)(jax.random.key(0), images, tokens)
    need = Need("image_embedding")
    compute = jax.jit(
        lambda key: compute_outputs(model)(
            {"live": params}, [need], {"pairs": {"image": jnp.asarray(images)}}, key
        )[0][need]
    )
    first, second = compute(jax.random.key(0)), compute(jax.random.key(1))
    encode = jax.jit(functools.partial(model.apply, method="image_embedding"))
    whole = encode(params, images)
    for pair in ((first, second), (first, whole)):
        assert np.abs(pair[0] - pair[1]).max() > 1e-3
    np.testing.assert_array_equal(first, compute(jax.random.key(0)))

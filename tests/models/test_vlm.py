"""Two towers as one model: paths are an API; bfloat16 between float32 ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.builders import SHAPE, SMALL, batch, shapes, siglip, small, two_tower
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models import sizes

BLOCK = """
attention/key/bias (8,)
attention/key/kernel (8, 8)
attention/out/bias (8,)
attention/out/kernel (8, 8)
attention/query/bias (8,)
attention/query/kernel (8, 8)
attention/value/bias (8,)
attention/value/kernel (8, 8)
mlp/in/bias (32,)
mlp/in/kernel (8, 32)
mlp/out/bias (8,)
mlp/out/kernel (32, 8)
norm_1/bias (8,)
norm_1/scale (8,)
norm_2/bias (8,)
norm_2/scale (8,)
""".split("\n")[1:-1]
GOLDEN = [
    "image/class_token (8,)",
    *(f"image/encoder/block_0/{line}" for line in BLOCK),
    "image/norm_post/bias (8,)",
    "image/norm_post/scale (8,)",
    "image/norm_pre/bias (8,)",
    "image/norm_pre/scale (8,)",
    "image/patch_embedding/kernel (48, 8)",
    "image/position_embedding (5, 8)",
    "image_projection/kernel (8, 6)",
    "logit_scale ()",
    *(f"text/encoder/block_0/{line}" for line in BLOCK),
    "text/norm_post/bias (8,)",
    "text/norm_post/scale (8,)",
    "text/position_embedding (7, 8)",
    "text/token_embedding (20, 8)",
    "text_projection/kernel (8, 6)",
]
ATTENTION, REST = BLOCK[:8], BLOCK[8:12]
SIGLIP_GOLDEN = [
    *(f"image/encoder/block_0/{line}" for line in BLOCK),
    "image/norm_post/bias (8,)",
    "image/norm_post/scale (8,)",
    "image/patch_embedding/bias (8,)",
    "image/patch_embedding/kernel (48, 8)",
    *(f"image/pool/{line}" for line in ATTENTION + REST),
    "image/pool/norm/bias (8,)",
    "image/pool/norm/scale (8,)",
    "image/pool/probe (8,)",
    "image/position_embedding (4, 8)",
    "logit_bias ()",
    "logit_scale ()",
    *(x for x in GOLDEN if x.startswith("text")),
    "text_projection/bias (8,)",
]
SIGLIP_GOLDEN.remove("text_projection/kernel (8, 6)")
SIGLIP_GOLDEN.append("text_projection/kernel (8, 8)")


def test_parameter_paths():
    """Checkpoints, sharding, freezing and ports match on these: changing one breaks
    every checkpoint there is."""
    params, _ = shapes(small())
    found = [f"{path} {leaf.shape}" for path, leaf in trees.flatten(params).items()]
    assert sorted(found) == sorted(GOLDEN)


def test_parameter_paths_of_siglip():
    params, _ = shapes(siglip(SMALL | {"patch_size": 4}, SMALL, 8, 20, 7))
    found = [f"{path} {leaf.shape}" for path, leaf in trees.flatten(params).items()]
    assert sorted(found) == sorted(SIGLIP_GOLDEN)


def test_without_image_projection_the_widths_agree():
    with pytest.raises(ConfigError, match="width of the image tower, 8; it is 6"):
        shapes(small(project_image=False))


def test_a_logit_bias_exists_where_its_first_value_is_given():
    params, _ = shapes(small(logit_bias_init=-10.0))
    assert set(trees.flatten(params)) == {x.split(" ")[0] for x in GOLDEN} | {
        "logit_bias"
    }


def test_bfloat16_is_for_computing_only():
    image = dict(sizes.vit("Ti/16"), dtype="bfloat16")
    text = dict(sizes.text("Ti"), dtype="bfloat16")
    params, outputs = shapes(two_tower(image, text, 64))
    assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype("float32")}
    assert {x.dtype for x in outputs} == {np.dtype("float32")}


def computing_in(dtype):
    image = SHAPE | {"patch_size": 4, "dtype": dtype}
    return two_tower(image, SHAPE | {"dtype": dtype}, 8, 16, vocabulary=20, length=8)


def test_bfloat16_computes_in_bfloat16_between_float32_ends():
    model, arrays = computing_in("bfloat16"), batch()
    params = jax.jit(model.init)(jax.random.key(0), *arrays)

    def run(params):
        return model.apply(
            params, *map(jnp.asarray, arrays), capture_intermediates=True
        )

    outputs, state = jax.eval_shape(run, params)
    between = {
        path: leaf.dtype
        for path, leaf in trees.flatten(state["intermediates"]).items()
        if path.startswith(("image", "text"))
    }
    assert len(between) > 30 and set(between.values()) == {jnp.dtype("bfloat16")}
    assert {x.dtype for x in outputs} == {jnp.dtype("float32")}
    gradients = jax.eval_shape(jax.grad(lambda p: run(p)[0][0].sum()), params)
    leaves = jax.tree.leaves((params, gradients))
    assert {x.dtype for x in leaves} == {jnp.dtype("float32")}


def test_bfloat16_is_near_float32():
    arrays = [jnp.asarray(x) for x in batch()]
    model = computing_in("float32")
    params = jax.jit(model.init)(jax.random.key(0), *arrays)
    expected = jax.jit(model.apply)(params, *arrays)
    found = jax.jit(computing_in("bfloat16").apply)(params, *arrays)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.02)
        norms = np.linalg.norm(ours, axis=1)  # normalised in float32
        np.testing.assert_allclose(norms, 1, atol=1e-6)
        assert np.abs(ours - theirs).max() > 1e-6  # it did compute otherwise

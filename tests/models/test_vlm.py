"""Two towers as one model: paths are an API; bfloat16 between float32 ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.builders import (
    CONSTANTS,
    SHAPE,
    SMALL,
    batch,
    shapes,
    siglip,
    small,
    two_tower,
)
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models import sizes
from vlp_jax.models.bert import Bert, Roberta
from vlp_jax.models.gpt2 import Gpt2
from vlp_jax.models.vit import PlainViT
from vlp_jax.models.vlm import TwoTower

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
TRUNKS = [x for x in GOLDEN if "/encoder/" in x]
DUAL_GOLDEN = [
    *TRUNKS,
    "image/class_token (8,)",
    "image/norm_post/bias (8,)",
    "image/norm_post/scale (8,)",
    "image/patch_embedding/bias (8,)",
    "image/patch_embedding/kernel (48, 8)",
    "image/pooler/bias (8,)",
    "image/pooler/kernel (8, 8)",
    "image/position_embedding (5, 8)",
    "logit_scale ()",
    "shared_projection/kernel (8, 6)",
    "text/norm_pre/bias (8,)",
    "text/norm_pre/scale (8,)",
    "text/pooler/bias (8,)",
    "text/pooler/kernel (8, 8)",
    "text/position_embedding (7, 8)",
    "text/token_embedding (20, 8)",
    "text/type_embedding (2, 8)",
]


def dual(text=Bert, **settings):
    """A plain vision transformer and BERT, with one projection for both."""
    return TwoTower(
        PlainViT(image_size=8, patch_size=4, **SMALL),
        text(vocab_size=20, length=7, **SMALL),
        embedding_size=6,
        **CONSTANTS,
        **{"share_projection": True, **settings},
    )


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


def test_parameter_paths_of_a_plain_transformer_and_bert():
    """RoBERTa's differ in two shapes, GPT-2's are those of the text transformer."""

    def found(model):
        params, _ = shapes(model)
        return {f"{path} {x.shape}" for path, x in trees.flatten(params).items()}

    assert found(dual()) == set(DUAL_GOLDEN)
    assert found(dual(Roberta)) ^ set(DUAL_GOLDEN) == {
        "text/position_embedding (7, 8)",
        "text/position_embedding (9, 8)",
        "text/type_embedding (1, 8)",
        "text/type_embedding (2, 8)",
    }
    gpt2 = Gpt2(vocab_size=20, length=7, eos_id=2, **SMALL)
    assert found(small(text=gpt2)) == set(GOLDEN)


@pytest.mark.long
def test_one_projection_is_two_with_the_same_matrix():
    """The embeddings are equal, and its gradient is the sum of both."""
    one, two = dual(), dual(share_projection=False)
    images = jnp.arange(384).reshape(2, 8, 8, 3).astype(jnp.uint8)
    tokens = jnp.arange(14).reshape(2, 7)
    params = jax.jit(one.init)(jax.random.key(0), images, tokens)["params"]
    matrix = params["shared_projection"]
    apart = {k: v for k, v in params.items() if k != "shared_projection"}
    apart |= {"image_projection": matrix, "text_projection": matrix}

    def loss(params, model):
        image, text = model.apply({"params": params}, images, tokens)
        return (image[0] * text[1]).sum()

    value, found = jax.jit(jax.value_and_grad(loss), static_argnums=1)(params, one)
    expected, parts = jax.jit(jax.value_and_grad(loss), static_argnums=1)(apart, two)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    halves = [parts[f"{name}_projection"]["kernel"] for name in ("image", "text")]
    assert min(np.abs(half).max() for half in halves) > 1e-3
    np.testing.assert_allclose(
        found["shared_projection"]["kernel"], sum(halves), atol=1e-6
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"project_image": False}, "one matrix without a bias for both towers; leave"),
        ({"text_projection_bias": True}, "leave out .* text_projection_bias"),
        (
            {"text": Bert(vocab_size=20, length=7, **SHAPE)},
            "towers of one width; the image tower's is 8, the text tower's 16",
        ),
    ],
)
def test_one_projection_has_to_fit_both_towers(settings, said):
    with pytest.raises(ConfigError, match=said):
        shapes(dual().clone(**settings))


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


def dual_in(dtype):
    model = dual()
    towers = {x: getattr(model, x).clone(dtype=dtype) for x in ("image", "text")}
    return model.clone(**towers)


@pytest.mark.parametrize("make", [computing_in, dual_in])
def test_bfloat16_computes_in_bfloat16_between_float32_ends(make):
    model = make("bfloat16")
    size, length = model.image.image_size, model.text.length
    images = jnp.zeros((2, size, size, 3), jnp.uint8)
    arrays = images, jnp.zeros((2, length), int), jnp.ones((2, length), bool)
    params = jax.eval_shape(model.init, jax.random.key(0), *arrays)

    def run(params):
        return model.apply(params, *arrays, capture_intermediates=True)

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

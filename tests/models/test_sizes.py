"""Every size by its shapes alone; published parameter counts; paths are an API."""

import jax
import numpy as np
import pytest

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models import sizes
from vlp_jax.models.siglip import SiglipText, SiglipViT
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT
from vlp_jax.models.vlm import TwoTower

CONSTANTS = dict(image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5))
# image size, text size, embedding -> millions of parameters (Radford et al. 2021)
CLIP = {
    "B/32": ("B", 512, "151.3"),
    "B/16": ("B", 512, "149.6"),
    "L/14": ("L", 768, "427.6"),
}
# image size and pixels -> millions of parameters (of the released weights)
SIGLIP = {
    ("B/16", 224): "203.2",
    ("L/16", 256): "652.2",
    ("So400m/14", 224): "877.4",
}
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


def two_tower(image, text, embedding, image_size=224, vocabulary=49408, length=77):
    return TwoTower(
        ViT(image_size=image_size, **image),
        TextTransformer(vocab_size=vocabulary, length=length, eos_id=2, **text),
        embedding_size=embedding,
        **CONSTANTS,
    )


def siglip(image, text, image_size, vocabulary=32_000, length=64):
    return TwoTower(
        SiglipViT(image_size=image_size, **image),
        SiglipText(vocab_size=vocabulary, length=length, eos_id=1, **text),
        embedding_size=image["width"],
        logit_bias_init=-10.0,
        project_image=False,
        text_projection_bias=True,
        **CONSTANTS,
    )


def shapes(model):
    size, length = model.image.image_size, model.text.length
    images = jax.ShapeDtypeStruct((2, size, size, 3), np.uint8)
    tokens = jax.ShapeDtypeStruct((2, length), np.int32)
    mask = jax.ShapeDtypeStruct((2, length), bool)
    variables = jax.eval_shape(model.init, jax.random.key(0), images, tokens, mask)
    return variables["params"], jax.eval_shape(
        model.apply, variables, images, tokens, mask
    )


@pytest.mark.parametrize("size", CLIP)
def test_parameters_of_clip(size):
    text, embedding, millions = CLIP[size]
    model = two_tower(sizes.vit(size), sizes.text(text), embedding)
    params, outputs = shapes(model)
    assert f"{trees.count(params) / 1e6:.1f}" == millions
    assert [x.shape for x in outputs] == [(2, embedding)] * 2


@pytest.mark.parametrize(("size", "pixels"), SIGLIP)
def test_parameters_of_siglip(size, pixels):
    image, text = sizes.vit(size), sizes.siglip_text(size.split("/")[0])
    params, outputs = shapes(siglip(image, text, pixels))
    assert f"{trees.count(params) / 1e6:.1f}" == SIGLIP[size, pixels]
    assert [x.shape for x in outputs] == [(2, image["width"])] * 2
    if size.startswith("So400m"):
        mlp = params["text"]["encoder"]["block_26"]["mlp"]
        assert mlp["in"]["kernel"].shape == (1152, 4304)


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("letter", sizes.TEXT)
def test_every_size_fits_together(letter, scan):
    """Scanned or not; a patch of any size; the text tower of the same letter."""
    image, text = sizes.vit(f"{letter}/16"), sizes.text(letter)
    model = two_tower(image | {"scan": scan}, text | {"scan": scan}, 256)
    params, outputs = shapes(model)
    assert [(x.shape, x.dtype) for x in outputs] == [((2, 256), np.float32)] * 2
    for tower in ("image", "text"):
        assert len(params[tower]["encoder"]) == getattr(model, tower).depth
    assert params["image"]["position_embedding"].shape == (197, image["width"])


def test_every_text_size_has_an_image_size():
    assert sizes.TEXT.keys() <= sizes.VIT.keys()


def test_bfloat16_is_for_computing_only():
    image = dict(sizes.vit("Ti/16"), dtype="bfloat16")
    text = dict(sizes.text("Ti"), dtype="bfloat16")
    params, outputs = shapes(two_tower(image, text, 64))
    assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype("float32")}
    assert {x.dtype for x in outputs} == {np.dtype("float32")}


SMALL = dict(width=8, depth=1, heads=2)


def small(**settings):
    return two_tower(
        SMALL | {"patch_size": 4}, SMALL, 6, image_size=8, vocabulary=20, length=7
    ).clone(**settings)


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


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (
            sizes.vit,
            "l/14",
            "unknown vision transformer size 'l'; known: B, H, L, S, So400m, Ti",
        ),
        (sizes.vit, "Tii/16", "did you mean 'Ti'"),
        (sizes.vit, "B", "expected a size and a patch, such as 'B/32'"),
        (sizes.siglip_text, "so400m", "unknown SigLIP text size 'so400m'.*'So400m'"),
        (sizes.text, "T", "unknown text transformer size 'T'.*did you mean 'Ti'"),
    ],
)
def test_unknown_size(make, name, message):
    with pytest.raises(ConfigError, match=message):
        make(name)


def test_pictures_of_another_size():
    images, tokens = np.zeros((2, 12, 12, 3), np.uint8), np.zeros((2, 7), np.int32)
    with pytest.raises(ConfigError, match="built for 8x8 pixels and got 12x12; set"):
        jax.eval_shape(small().init, jax.random.key(0), images, tokens)


def test_patches_that_do_not_fill_the_picture():
    model = ViT(image_size=9, patch_size=4, **SMALL)
    with pytest.raises(ConfigError, match="9 is not a multiple of .*patch_size 4"):
        jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 9, 9, 3)))


def test_texts_longer_than_the_tower():
    images, tokens = np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8), np.int32)
    with pytest.raises(ConfigError, match="built for 7 tokens and got 8; set"):
        jax.eval_shape(small().init, jax.random.key(0), images, tokens)


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

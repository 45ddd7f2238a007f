"""Every size by its shapes alone, and published parameter counts."""

import jax
import numpy as np
import pytest

from tests.models.builders import shapes, siglip, two_tower
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models import IMAGE_TOWERS, SIZES, TEXT_TOWERS, sizes

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
# of HF's models: BertModel and so on, with their poolers
TOWERS = {
    ("bert", "base"): "109.5",
    ("bert", "large"): "335.1",
    ("bert", "mini"): "11.2",
    ("roberta", "base"): "124.6",
    ("gpt2", "small"): "124.4",
    ("gpt2", "medium"): "354.8",
    ("plain_vit", "B/16"): "86.4",
    ("plain_vit", "B/32"): "88.0",
    ("plain_vit", "L/16"): "304.4",
}
# Vocabulary and length of the released weights.
WORDS = {"bert": (30_522, 512), "roberta": (50_265, 512), "gpt2": (50_257, 1024)}


def tower(kind, size, **settings):
    """The tower of a size, and an array that it takes."""
    settings |= SIZES[kind](size)
    if kind in WORDS:
        vocabulary, length = WORDS[kind]
        given = {"eos_id": 50_256} if kind == "gpt2" else {}
        given |= dict(vocab_size=vocabulary, length=length)
        ids = jax.ShapeDtypeStruct((2, length), np.int32)
        return TEXT_TOWERS[kind](**given, **settings), ids
    pictures = jax.ShapeDtypeStruct((2, 224, 224, 3), np.float32)
    return IMAGE_TOWERS[kind](image_size=224, **settings), pictures


@pytest.mark.parametrize(("kind", "size"), TOWERS)
def test_parameters_of_a_tower(kind, size):
    model, given = tower(kind, size)
    variables = jax.eval_shape(model.init, jax.random.key(0), given)
    assert f"{trees.count(variables) / 1e6:.1f}" == TOWERS[kind, size]


NAMES = {"bert": sizes.BERT, "roberta": sizes.ROBERTA, "gpt2": sizes.GPT2}
EVERY = [(kind, size) for kind, table in NAMES.items() for size in table]
EVERY += [("plain_vit", f"{letter}/16") for letter in ("Ti", "S", "B", "L", "H")]


@pytest.mark.parametrize(("kind", "size"), EVERY)
def test_every_size_of_a_tower(kind, size):
    """Scanned; its parameters are made unrolled."""
    model, given = tower(kind, size, scan=True)
    variables = jax.eval_shape(model.init, jax.random.key(0), given)
    found = jax.eval_shape(model.apply, variables, given)
    assert (found.shape, found.dtype) == ((2, model.width), np.float32)
    assert len(variables["params"]["encoder"]) == model.depth


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
        (sizes.prefix, "base", "unknown size of a prefix decoder 'base'; known: B, H"),
        (sizes.bert, "bas", "unknown BERT size 'bas'.*did you mean 'base'"),
        (sizes.roberta, "mini", "unknown RoBERTa size 'mini'; known: base, large"),
        (sizes.gpt2, "base", "unknown GPT-2 size 'base'; known: large, medium, small"),
        (sizes.text, "T", "unknown text transformer size 'T'.*did you mean 'Ti'"),
    ],
)
def test_unknown_size(make, name, message):
    with pytest.raises(ConfigError, match=message):
        make(name)

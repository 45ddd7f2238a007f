"""Every size by its shapes alone, and published parameter counts."""

import numpy as np
import pytest

from tests.models.builders import shapes, siglip, two_tower
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models import sizes

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
        (sizes.text, "T", "unknown text transformer size 'T'.*did you mean 'Ti'"),
    ],
)
def test_unknown_size(make, name, message):
    with pytest.raises(ConfigError, match=message):
        make(name)

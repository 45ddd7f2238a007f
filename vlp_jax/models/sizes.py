"""Published sizes of the towers, by their names in the literature.

Image: Dosovitskiy et al. 2021, Touvron et al. 2021 (Ti, S). Text: the tower that
CLIP (B, L; Radford et al. 2021, table 20) and OpenCLIP (S, H) pair with them. SigLIP
(Zhai et al. 2023) pairs towers of one shape; So400m is Alabdulmohsin et al. 2023.
BERT: Devlin et al. 2019 (base, large) and Turc et al. 2019, arXiv:1908.08962; RoBERTa:
Liu et al. 2019; GPT-2: Radford et al. 2019, table 2, by their names on the hub.
Residual networks: He et al. 2016, table 1, and those of CLIP (its table 19).
"""

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup

VIT = {
    "Ti": dict(width=192, depth=12, heads=3),
    "S": dict(width=384, depth=12, heads=6),
    "B": dict(width=768, depth=12, heads=12),
    "L": dict(width=1024, depth=24, heads=16),
    "H": dict(width=1280, depth=32, heads=16),
    "So400m": dict(width=1152, depth=27, heads=16, mlp_ratio=4304 / 1152),
}
TEXT = {
    "Ti": dict(width=192, depth=12, heads=3),
    "S": dict(width=384, depth=12, heads=6),
    "B": dict(width=512, depth=12, heads=8),
    "L": dict(width=768, depth=12, heads=12),
    "H": dict(width=1024, depth=24, heads=16),
}
BERT = {
    "tiny": dict(width=128, depth=2, heads=2),
    "mini": dict(width=256, depth=4, heads=4),
    "small": dict(width=512, depth=4, heads=8),
    "medium": dict(width=512, depth=8, heads=8),
    "base": dict(width=768, depth=12, heads=12),
    "large": dict(width=1024, depth=24, heads=16),
}
ROBERTA = {name: BERT[name] for name in ("base", "large")}
GPT2 = {
    "small": dict(width=768, depth=12, heads=12),
    "medium": dict(width=1024, depth=24, heads=16),
    "large": dict(width=1280, depth=36, heads=20),
    "xl": dict(width=1600, depth=48, heads=25),
}
RESNET = {
    "RN18": dict(depths=(2, 2, 2, 2), block="basic"),
    "RN34": dict(depths=(3, 4, 6, 3), block="basic"),
    "RN50": dict(depths=(3, 4, 6, 3)),
    "RN101": dict(depths=(3, 4, 23, 3)),
    "RN152": dict(depths=(3, 8, 36, 3)),
}
# width: of the embedding. They see pictures of 224, 224, 288, 384 and 448 pixels.
MODIFIED_RESNET = {
    "RN50": dict(depths=(3, 4, 6, 3), stem_width=64, width=1024),
    "RN101": dict(depths=(3, 4, 23, 3), stem_width=64, width=512),
    "RN50x4": dict(depths=(4, 6, 10, 6), stem_width=80, width=640),
    "RN50x16": dict(depths=(6, 8, 18, 8), stem_width=96, width=768),
    "RN50x64": dict(depths=(3, 15, 36, 10), stem_width=128, width=1024),
}


def vit(size: str) -> dict[str, int | float]:
    """Settings of a vision transformer named like 'B/32' (size / patch pixels)."""
    letter, _, patch = size.partition("/")
    if not patch.isdigit():
        raise ConfigError(
            f"model.image.size is {size!r}; expected a size and a patch, such as 'B/32'"
        )
    return lookup(VIT, letter, "vision transformer size") | {"patch_size": int(patch)}


def resnet(size: str) -> dict[str, int | str | tuple[int, ...]]:
    """Settings of a residual network named like 'RN50'."""
    return dict(lookup(RESNET, size, "residual network size"))


def modified_resnet(size: str) -> dict[str, int | tuple[int, ...]]:
    """Settings of CLIP's residual network named like 'RN50x4'."""
    return dict(lookup(MODIFIED_RESNET, size, "size of CLIP's residual network"))


def text(size: str) -> dict[str, int | float]:
    """Settings of a text transformer named like 'B'."""
    return dict(lookup(TEXT, size, "text transformer size"))


def siglip_text(size: str) -> dict[str, int | float]:
    """Settings of SigLIP's text tower: those of the image tower of the same name."""
    return dict(lookup(VIT, size, "SigLIP text size"))


def prefix(size: str) -> dict[str, int | float]:
    """Settings of a prefix language model: those of a ViT of that name (SimVLM)."""
    return dict(lookup(VIT, size, "size of a prefix decoder"))


def bert(size: str) -> dict[str, int | float]:
    """Settings of a BERT named like 'base'."""
    return dict(lookup(BERT, size, "BERT size"))


def roberta(size: str) -> dict[str, int | float]:
    """Settings of a RoBERTa named like 'base'."""
    return dict(lookup(ROBERTA, size, "RoBERTa size"))


def gpt2(size: str) -> dict[str, int | float]:
    """Settings of a GPT-2 named like 'small', the one of 124 M parameters."""
    return dict(lookup(GPT2, size, "GPT-2 size"))

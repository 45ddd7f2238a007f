"""The image towers of transformers that dual encoders join: ViT, CLIP's ViT, ResNet.

Files on disk keep the names that ViTModel had before transformers 5.
"""

from collections.abc import Callable

from vlp_jax.porting import hf_clip
from vlp_jax.porting.description import Description, Settings, refuse_unless
from vlp_jax.porting.hf_text_towers import Tower, layers
from vlp_jax.porting.weights import (
    LEADING_1,
    LEADING_1_1,
    PATCHES,
    Rule,
    conv_norm,
    linear,
    norm,
    rule,
)

# Of ResNet's blocks: how many convolutions, and how many times wider they end.
BLOCKS = {"basic": (2, 1), "bottleneck": (3, 4)}


def plain_vit_trunk(theirs: str, depth: int) -> list[Rule]:
    """ViTModel without its pooler."""
    part = f"{theirs}.embeddings"
    patches = f"{part}.patch_embeddings.projection"
    return [
        *rule("image/class_token", f"{part}.cls_token", LEADING_1_1),
        *rule("image/patch_embedding/kernel", f"{patches}.weight", PATCHES),
        *rule("image/patch_embedding/bias", f"{patches}.bias"),
        *rule("image/position_embedding", f"{part}.position_embeddings", LEADING_1),
        *layers(
            "image",
            theirs,
            depth,
            "attention",
            ("layernorm_before", "layernorm_after"),
        ),
        *norm("image/norm_post", f"{theirs}.layernorm"),
    ]


def plain_vit(image: Settings) -> list[Rule]:
    """With its pooler."""
    found = plain_vit_trunk("vision_model", image["depth"])
    return found + linear("image/pooler", "vision_model.pooler.dense")


def resnet(image: Settings) -> list[Rule]:
    """ResNetModel; a stage begins with a shortcut unless nothing changes there."""

    def layer(ours: str, theirs: str) -> list[Rule]:
        return conv_norm(
            f"image/{ours}", f"{theirs}.convolution", f"{theirs}.normalization"
        )

    convolutions, expansion = BLOCKS[image["block"]]
    found = layer("stem", "vision_model.embedder.embedder")
    for stage, depth in enumerate(image["depths"]):
        for i in range(depth):
            ours = f"stage_{stage + 1}/block_{i}"
            theirs = f"vision_model.encoder.stages.{stage}.layers.{i}"
            for j in range(convolutions):
                found += layer(f"{ours}/conv_{j + 1}", f"{theirs}.layer.{j}")
            if i == 0 and (stage or expansion > 1):
                found += layer(f"{ours}/shortcut", f"{theirs}.shortcut")
    return found


def write_plain_vit(description: Description) -> Settings:
    image = description.model["image"]
    refuse_unless(
        image["pool"] == "pooler",
        f"model.image.pool is {image['pool']!r}; transformers' dual encoder takes the "
        "picture from 'pooler'",
    )
    return hf_clip.write_tower(image) | {
        "image_size": description.preprocessing["image_size"],
        "patch_size": image["patch_size"],
    }


def write_resnet(description: Description) -> Settings:
    image = description.model["image"]
    return {
        "layer_type": image["block"],
        "embedding_size": image["stem_width"],
        "depths": list(image["depths"]),
        "hidden_sizes": _stage_widths(image),
    }


def _stage_widths(image: Settings) -> list[int]:
    first = image["stem_width"] * BLOCKS[image["block"]][1]
    return [first * 2**stage for stage in range(len(image["depths"]))]


def _read_vit(pool: str) -> Callable[[Settings], Settings]:
    def read(config: Settings) -> Settings:
        act = config.get("pooler_act", "tanh")
        refuse_unless(
            pool != "pooler" or act == "tanh",
            f"vision_config has pooler_act={act!r}; expected 'tanh'",
        )
        tower = hf_clip.read_tower(config)
        return {"patch_size": config["patch_size"], "pool": pool, **tower}

    return read


def read_resnet(config: Settings) -> Settings:
    """ConfigError for strides and widths that no published one has."""
    found = {
        "block": config["layer_type"],
        "depths": tuple(config["depths"]),
        "stem_width": config["embedding_size"],
    }
    strides = config["downsample_in_first_stage"], config["downsample_in_bottleneck"]
    expected = _stage_widths(found)
    refuse_unless(
        list(config["hidden_sizes"]) == expected
        and config["hidden_act"] == "relu"
        and not any(strides),
        f"vision_config has hidden_sizes={config['hidden_sizes']}, "
        f"hidden_act={config['hidden_act']!r} and downsample_in...={strides}; our "
        f"residual network has {expected}, 'relu' and no such strides",
    )
    return found


IMAGES = {
    "plain_vit": Tower("vit", plain_vit, write_plain_vit, _read_vit("pooler")),
    "vit": Tower(
        "clip_vision_model",
        lambda image: hf_clip.vision("vision_model", image["depth"]),
        lambda description: hf_clip.write_vision(
            description.model["image"], description
        ),
        _read_vit("class"),
    ),
    "resnet": Tower("resnet", resnet, write_resnet, read_resnet),
}

"""open_clip's CLIP with a residual network as its image tower (RN50, RN50x4, ...).

The running statistics of its batch normalisations are part of the weights. How many
batches they have seen (num_batches_tracked) is not: nothing computes with it, and it
is written as 0.
"""

from vlp_jax.porting import open_clip_clip as clip
from vlp_jax.porting.description import Description, Family, Settings, refuse_unless
from vlp_jax.porting.open_clip_settings import check_known
from vlp_jax.porting.weights import Rule, conv_norm, linear, rule

STAGES, HEAD_WIDTH = 4, 64  # of every such tower there, and of its attention pooling


def stages(depths: tuple[int, ...]) -> list[Rule]:
    """The blocks; the first of every stage has a convolution beside its others."""
    found = []
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            ours, theirs = f"image/stage_{stage}/block_{i}", f"visual.layer{stage}.{i}"
            for j in (1, 2, 3):
                names = f"{theirs}.conv{j}", f"{theirs}.bn{j}"
                found += conv_norm(f"{ours}/conv_{j}", *names)
        ours, theirs = f"image/stage_{stage}/block_0", f"visual.layer{stage}.0"
        names = f"{theirs}.downsample.0", f"{theirs}.downsample.1"
        found += conv_norm(f"{ours}/shortcut", *names)
    return found


def pool() -> list[Rule]:
    """AttentionPool2d; c_proj is the image projection."""
    ours, theirs = "image/attention", "visual.attnpool"
    return [
        *rule("image/position_embedding", f"{theirs}.positional_embedding"),
        *linear(f"{ours}/query", f"{theirs}.q_proj"),
        *linear(f"{ours}/key", f"{theirs}.k_proj"),
        *linear(f"{ours}/value", f"{theirs}.v_proj"),
        *linear(f"{ours}/out", f"{theirs}.c_proj"),
    ]


def rules(model: Settings) -> list[Rule]:
    """open_clip.model.CLIP with a ModifiedResNet."""
    stem = [(f"image/stem_{i}", f"visual.conv{i}", f"visual.bn{i}") for i in (1, 2, 3)]
    return [
        *clip.scalars(model),
        *(found for names in stem for found in conv_norm(*names)),
        *stages(model["image"]["depths"]),
        *pool(),
        *clip.text(model),
    ]


def write(description: Description) -> Settings:
    """model_cfg; ConfigError for what it cannot say."""
    model, image = description.model, description.model["image"]
    refuse_unless(
        not model.get("project_image", True),
        "open_clip's residual networks have no image projection behind their attention "
        "pooling; this model has one",
    )
    refuse_unless(
        len(image["depths"]) == STAGES,
        f"open_clip's residual networks have {STAGES} stages; this model has "
        f"{len(image['depths'])}",
    )
    vision = {
        "image_size": description.preprocessing["image_size"],
        "layers": list(image["depths"]),
        "width": image["stem_width"],
        "head_width": HEAD_WIDTH,
    }
    return clip.write_model(description, vision)


def read(config: Settings) -> Settings:
    """Our model settings; ConfigError for what our towers lack."""
    check_known("model_cfg", config)
    image = config["vision_cfg"]
    shape = len(image["layers"]), image.get("head_width", HEAD_WIDTH)
    refuse_unless(
        shape == (STAGES, HEAD_WIDTH),
        f"vision_cfg has {shape[0]} stages and head_width={shape[1]}; expected "
        f"{STAGES} and {HEAD_WIDTH}, as every published residual network has",
    )
    tower = {
        "kind": "modified_resnet",
        "depths": tuple(image["layers"]),
        "stem_width": image["width"],
        "width": config["embed_dim"],
    }
    return clip.read_model(config, tower) | {"project_image": False}


FAMILY = Family(
    kinds=("modified_resnet", "transformer"),
    rules=rules,
    write=write,
    read=read,
    ignored=clip.FAMILY.ignored,
)

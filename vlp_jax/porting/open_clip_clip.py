"""open_clip's CLIP: a ViT and a text transformer, projections applied as x @ P."""

from typing import Any

from vlp_jax.porting.description import (
    Description,
    Family,
    Settings,
    refuse_unless,
    translated,
)
from vlp_jax.porting.open_clip_settings import check_known
from vlp_jax.porting.weights import (
    PATCHES,
    Rule,
    linear,
    norm,
    rule,
    stacked_attention,
)

# act_kwargs of torch's GELU by our activations; quick_gelu is a switch of the model.
GELUS: dict[str, dict[str, str] | None] = {
    "gelu": None,
    "gelu_tanh": {"approximate": "tanh"},
    "quick_gelu": None,
}
# What torch's GELU calls them, by which they are read.
APPROXIMATIONS = {"none": "gelu", "tanh": "gelu_tanh"}
POOLS = {"largest_id": "argmax", "first_eos": "eos", "last": "last"}
EPSILON = 1e-5  # of torch's layer norm


def resblocks(ours: str, theirs: str, depth: int) -> list[Rule]:
    """The blocks of both towers."""
    found = []
    for i in range(depth):
        block, layer = f"{ours}/encoder/block_{i}", f"{theirs}.resblocks.{i}"
        found += norm(f"{block}/norm_1", f"{layer}.ln_1")
        found += norm(f"{block}/norm_2", f"{layer}.ln_2")
        found += stacked_attention(f"{block}/attention", f"{layer}.attn")
        found += linear(f"{block}/mlp/in", f"{layer}.mlp.c_fc")
        found += linear(f"{block}/mlp/out", f"{layer}.mlp.c_proj")
    return found


def text(model: Settings) -> list[Rule]:
    """The text tower; in CLIP its keys have no prefix."""
    return [
        *rule("text/token_embedding", "token_embedding.weight"),
        *rule("text/position_embedding", "positional_embedding"),
        *resblocks("text", "transformer", model["text"]["depth"]),
        *norm("text/norm_post", "ln_final"),
        *(
            linear("text_projection", "text_projection")
            if model.get("text_projection_bias")
            else rule("text_projection/kernel", "text_projection")
        ),
    ]


def scalars(model: Settings) -> list[Rule]:
    has_bias = model.get("logit_bias_init") is not None
    return rule("logit_scale", "logit_scale") + (
        rule("logit_bias", "logit_bias") if has_bias else []
    )


def image_tower(depth: int) -> list[Rule]:
    """VisionTransformer up to its last block."""
    return [
        *rule("image/class_token", "visual.class_embedding"),
        *rule("image/patch_embedding/kernel", "visual.conv1.weight", PATCHES),
        *rule("image/position_embedding", "visual.positional_embedding"),
        *norm("image/norm_pre", "visual.ln_pre"),
        *resblocks("image", "visual.transformer", depth),
    ]


def rules(model: Settings) -> list[Rule]:
    """open_clip.model.CLIP with a VisionTransformer."""
    return [
        *scalars(model),
        *image_tower(model["image"]["depth"]),
        *norm("image/norm_post", "visual.ln_post"),
        *rule("image_projection/kernel", "visual.proj"),
        *text(model),
    ]


def write_tower(tower: Settings) -> Settings:
    """What both towers have; open_clip's defaults are left out."""
    found: dict[str, Any] = {"width": tower["width"], "layers": tower["depth"]}
    if tower["mlp_ratio"] != 4:
        found["mlp_ratio"] = tower["mlp_ratio"]
    if tower["norm_epsilon"] != EPSILON:
        found["norm_kwargs"] = {"eps": tower["norm_epsilon"]}
    if GELUS[tower["activation"]]:
        found["act_kwargs"] = GELUS[tower["activation"]]
    return found


def check_padding(causal: bool, pool: str) -> None:
    """ConfigError for a text tower in which padding is seen on one side alone."""
    refuse_unless(
        causal or pool == "last",
        "open_clip's text tower sees padding where it is not causal, and ours does not "
        f"(pool={pool!r})",
    )


def write_text(description: Description) -> Settings:
    """text_cfg."""
    text, tokens = description.model["text"], description.tokens
    found = write_tower(text) | {
        "heads": text["heads"],
        "context_length": tokens.length,
        "vocab_size": tokens.vocab_size,
        "pool_type": POOLS[text["pool"]],
        "hf_tokenizer_name": "this folder",  # which local-dir: puts in its place
        # It always joins whitespace; canonicalisation is built into the tokenizer.
        "tokenizer_kwargs": {"clean": "whitespace"},
    }
    if text["pool"] == "first_eos":
        found["eos_id"] = tokens.eos_id
    check_padding(text["causal"], text["pool"])
    if not text["causal"]:
        found["no_causal_mask"] = True
    if description.model.get("text_projection_bias"):
        found["proj_bias"] = True
    return found


def write_model(description: Description, vision: Settings) -> Settings:
    """model_cfg with this vision_cfg."""
    model = description.model
    found = {
        "embed_dim": model["embedding_size"],
        "vision_cfg": vision,
        "text_cfg": write_text(description),
    }
    if model["text"]["activation"] == "quick_gelu":
        found["quick_gelu"] = True
    if model.get("logit_bias_init") is not None:
        found["init_logit_bias"] = model["logit_bias_init"]
    return found


def write(description: Description) -> Settings:
    """model_cfg; ConfigError for what it cannot say."""
    model, image = description.model, description.model["image"]
    quick = {model[tower]["activation"] == "quick_gelu" for tower in ("image", "text")}
    refuse_unless(
        len(quick) == 1,
        "open_clip has quick_gelu in both towers or in none; here one tower has it",
    )
    refuse_unless(
        image["pool"] == "class",
        f"model.image.pool is {image['pool']!r}; open_clip's CLIP pools the class "
        "token as we do, and means over patches in another way",
    )
    refuse_unless(
        bool(model.get("project_image", True)),
        "open_clip's ViT has an image projection, this model has none",
    )
    vision = {
        "image_size": description.preprocessing["image_size"],
        "patch_size": image["patch_size"],
        "head_width": image["width"] // image["heads"],
    }
    return write_model(description, write_tower(image) | vision)


def read_tower(config: Settings, quick_gelu: bool) -> Settings:
    """What both of our towers have."""
    given = config.get("act_kwargs") or {}
    plain = translated(APPROXIMATIONS, given.get("approximate", "none"), "act_kwargs")
    return {
        "width": config["width"],
        "depth": config["layers"],
        "mlp_ratio": config.get("mlp_ratio", 4.0),
        "activation": "quick_gelu" if quick_gelu else plain,
        "norm_epsilon": (config.get("norm_kwargs") or {}).get("eps", EPSILON),
    }


def read_text(config: Settings, quick_gelu: bool) -> Settings:
    """Settings of our text tower."""
    ours = {theirs: pool for pool, theirs in POOLS.items()}
    pool = config.get("pool_type", "argmax")
    pool = translated(ours, pool, "pool_type of text_cfg")
    causal = not config.get("no_causal_mask", False)
    check_padding(causal, pool)
    refuse_unless(
        config.get("proj_type") in (None, "linear"),
        f"text_cfg has proj_type={config.get('proj_type')!r}; expected 'linear'",
    )
    return {
        "kind": "transformer",
        "heads": config["heads"],
        "causal": causal,
        "pool": pool,
        **read_tower(config, quick_gelu),
    }


def read_model(config: Settings, image: Settings) -> Settings:
    """Our model settings with these of the image tower."""
    text = config["text_cfg"]
    found = {
        "embedding_size": config["embed_dim"],
        "image": image,
        "text": read_text(text, bool(config.get("quick_gelu"))),
    }
    if text.get("proj_bias"):
        found["text_projection_bias"] = True
    if config.get("init_logit_bias") is not None:
        found["logit_bias_init"] = float(config["init_logit_bias"])
    return found


def read(config: Settings) -> Settings:
    """Our model settings; ConfigError for what our towers lack."""
    check_known("model_cfg", config)
    image = config["vision_cfg"]
    position = image.get("pos_embed_type", "learnable")
    refuse_unless(
        image.get("pool_type", "tok") == "tok" and position == "learnable",
        f"vision_cfg has pool_type={image.get('pool_type')!r}, pos_embed_type="
        f"{position!r}; expected 'tok' and 'learnable'",
    )
    tower = {
        "kind": "vit",
        "patch_size": image["patch_size"],
        "heads": image["width"] // image.get("head_width", 64),
        "pool": "class",
        **read_tower(image, bool(config.get("quick_gelu"))),
    }
    return read_model(config, tower)


FAMILY = Family(
    kinds=("vit", "transformer"),
    rules=rules,
    write=write,
    read=read,
    ignored=(r"(^|\.)attn_mask$", r"^(context_length|input_resolution|vocab_size)$"),
)

"""transformers' CLIPModel: a ViT and a causal text transformer."""

from vlp_jax.porting.description import (
    Description,
    Family,
    Settings,
    hidden_width,
    refuse_unless,
    translated,
)
from vlp_jax.porting.weights import PATCHES, Rule, linear, norm, rule

ACTIVATIONS = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
}
OUR_ACTIVATIONS = {theirs: ours for ours, theirs in ACTIVATIONS.items()} | {
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}
# transformers pools at the largest id where the end of text has this id (the config
# that was published with OpenAI's weights says 2), else at the first end of text.
LARGEST_ID = 2


def encoder(ours: str, theirs: str, depth: int) -> list[Rule]:
    """The blocks of CLIP and SigLIP."""
    found = []
    for i in range(depth):
        block, layer = f"{ours}/encoder/block_{i}", f"{theirs}.encoder.layers.{i}"
        found += norm(f"{block}/norm_1", f"{layer}.layer_norm1")
        found += norm(f"{block}/norm_2", f"{layer}.layer_norm2")
        for name, key in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "out")):
            found += linear(
                f"{block}/attention/{name}", f"{layer}.self_attn.{key}_proj"
            )
        found += linear(f"{block}/mlp/in", f"{layer}.mlp.fc1")
        found += linear(f"{block}/mlp/out", f"{layer}.mlp.fc2")
    return found


def text_embeddings() -> list[Rule]:
    part = "text_model.embeddings"
    return [
        *rule("text/token_embedding", f"{part}.token_embedding.weight"),
        *rule("text/position_embedding", f"{part}.position_embedding.weight"),
    ]


def vision(theirs: str, depth: int) -> list[Rule]:
    """CLIPVisionTransformer."""
    part = f"{theirs}.embeddings"
    return [
        *rule("image/class_token", f"{part}.class_embedding"),
        *rule(
            "image/patch_embedding/kernel", f"{part}.patch_embedding.weight", PATCHES
        ),
        *rule("image/position_embedding", f"{part}.position_embedding.weight"),
        *norm("image/norm_pre", f"{theirs}.pre_layrnorm"),  # their spelling
        *encoder("image", theirs, depth),
        *norm("image/norm_post", f"{theirs}.post_layernorm"),
    ]


def rules(model: Settings) -> list[Rule]:
    """CLIPModel."""
    return [
        *rule("logit_scale", "logit_scale"),
        *linear("image_projection", "visual_projection", use_bias=False),
        *linear("text_projection", "text_projection", use_bias=False),
        *vision("vision_model", model["image"]["depth"]),
        *text_embeddings(),
        *encoder("text", "text_model", model["text"]["depth"]),
        *norm("text/norm_post", "text_model.final_layer_norm"),
    ]


def write_tower(tower: Settings) -> Settings:
    """The settings that both towers of CLIP and of SigLIP have."""
    return {
        "hidden_size": tower["width"],
        "intermediate_size": hidden_width(tower),
        "num_hidden_layers": tower["depth"],
        "num_attention_heads": tower["heads"],
        "hidden_act": translated(ACTIVATIONS, tower["activation"], "activation"),
        "layer_norm_eps": tower["norm_epsilon"],
    }


def read_tower(config: Settings) -> Settings:
    return {
        "width": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "mlp_ratio": config["intermediate_size"] / config["hidden_size"],
        "activation": translated(OUR_ACTIVATIONS, config["hidden_act"], "hidden_act"),
        "norm_epsilon": config["layer_norm_eps"],
    }


def write_text_ids(description: Description) -> Settings:
    tokens = description.tokens
    return {
        "vocab_size": tokens.vocab_size,
        "max_position_embeddings": tokens.length,
        "bos_token_id": tokens.bos_id,
        "eos_token_id": tokens.eos_id,
        "pad_token_id": tokens.pad_id,
    }


def write_vision(image: Settings, description: Description) -> Settings:
    refuse_unless(
        image["pool"] == "class",
        f"model.image.pool is {image['pool']!r}; transformers' CLIP pools the class "
        "token",
    )
    return write_tower(image) | {
        "image_size": description.preprocessing["image_size"],
        "patch_size": image["patch_size"],
    }


def write(description: Description) -> Settings:
    """config.json; ConfigError for what CLIPConfig cannot say."""
    model, tokens = description.model, description.tokens
    text, size = model["text"], model["embedding_size"]
    refuse_unless(
        model.get("logit_bias_init") is None
        and model.get("project_image", True)
        and not model.get("text_projection_bias"),
        "transformers' CLIP has both projections, no bias in them and no logit_bias; "
        "this model is another",
    )
    refuse_unless(text["causal"], "transformers' CLIP has a causal text tower only")
    ids = write_text_ids(description)
    if text["pool"] == "largest_id":
        ids["eos_token_id"] = LARGEST_ID
    else:
        refuse_unless(
            text["pool"] == "first_eos" and tokens.eos_id != LARGEST_ID,
            f"transformers' CLIP cannot pool at {text['pool']!r} with the end token "
            f"{tokens.eos_id}: it knows the first end of text (of another id than 2) "
            "and the largest id",
        )
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": size,
        "logit_scale_init_value": model["logit_scale_init"],
        "text_config": write_tower(text) | ids | {"projection_dim": size},
        "vision_config": write_vision(model["image"], description)
        | {"projection_dim": size},
    }


def read_text_pool(config: Settings) -> str:
    return "largest_id" if config["eos_token_id"] == LARGEST_ID else "first_eos"


def read(config: Settings) -> Settings:
    """Our model settings."""
    text, image = config["text_config"], config["vision_config"]
    return {
        "embedding_size": config["projection_dim"],
        "logit_scale_init": config["logit_scale_init_value"],
        "image": {
            "kind": "vit",
            "patch_size": image["patch_size"],
            "pool": "class",
            **read_tower(image),
        },
        "text": {
            "kind": "transformer",
            "causal": True,
            "pool": read_text_pool(text),
            **read_tower(text),
        },
    }


FAMILY = Family(
    kinds=("vit", "transformer"),
    rules=rules,
    write=write,
    read=read,
    ignored=(r"embeddings\.position_ids$",),
)

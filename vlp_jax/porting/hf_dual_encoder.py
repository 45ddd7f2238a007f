"""transformers' VisionTextDualEncoderModel: ViT or CLIP's ViT with BERT or RoBERTa.

Files on disk keep the names that ViTModel had before transformers 5.
"""

from vlp_jax.porting import hf_clip
from vlp_jax.porting.description import Description, Family, Settings, refuse_unless
from vlp_jax.porting.weights import (
    LEADING_1,
    LEADING_1_1,
    PATCHES,
    Rule,
    linear,
    norm,
    rule,
)

ROBERTA_PADDING = 1  # its positions start behind this id
TYPES = {"bert": 2, "roberta": 1}


def _layers(ours: str, theirs: str, depth: int, attention: str, norms: tuple[str, str]):
    """Blocks with BERT's names; attention: what stands before query, key and value."""
    found = []
    for i in range(depth):
        block, layer = f"{ours}/encoder/block_{i}", f"{theirs}.encoder.layer.{i}"
        for name in ("query", "key", "value"):
            found += linear(
                f"{block}/attention/{name}", f"{layer}.attention.{attention}.{name}"
            )
        found += linear(f"{block}/attention/out", f"{layer}.attention.output.dense")
        found += norm(f"{block}/norm_1", f"{layer}.{norms[0]}")
        found += linear(f"{block}/mlp/in", f"{layer}.intermediate.dense")
        found += linear(f"{block}/mlp/out", f"{layer}.output.dense")
        found += norm(f"{block}/norm_2", f"{layer}.{norms[1]}")
    return found


def plain_vit(image: Settings) -> list[Rule]:
    """ViTModel with its pooler."""
    part = "vision_model.embeddings"
    patches = f"{part}.patch_embeddings.projection"
    return [
        *rule("image/class_token", f"{part}.cls_token", LEADING_1_1),
        *rule("image/patch_embedding/kernel", f"{patches}.weight", PATCHES),
        *rule("image/patch_embedding/bias", f"{patches}.bias"),
        *rule("image/position_embedding", f"{part}.position_embeddings", LEADING_1),
        *_layers(
            "image",
            "vision_model",
            image["depth"],
            "attention",
            ("layernorm_before", "layernorm_after"),
        ),
        *norm("image/norm_post", "vision_model.layernorm"),
        *linear("image/pooler", "vision_model.pooler.dense"),
    ]


def bert(text: Settings) -> list[Rule]:
    """BertModel and RobertaModel with their poolers."""
    part = "text_model.embeddings"
    names = {"token": "word", "position": "position", "type": "token_type"}
    return [
        *(
            Rule((f"text/{ours}_embedding",), f"{part}.{theirs}_embeddings.weight")
            for ours, theirs in names.items()
        ),
        *norm("text/norm_pre", f"{part}.LayerNorm"),
        *_layers(
            "text",
            "text_model",
            text["depth"],
            "self",
            ("attention.output.LayerNorm", "output.LayerNorm"),
        ),
        *linear("text/pooler", "text_model.pooler.dense"),
    ]


def rules(model: Settings) -> list[Rule]:
    """VisionTextDualEncoderModel."""
    image = {
        "plain_vit": plain_vit,
        "vit": lambda image: hf_clip.vision("vision_model", image["depth"]),
    }[model["image"]["kind"]]
    return [
        *rule("logit_scale", "logit_scale"),
        *linear("image_projection", "visual_projection", use_bias=False),
        *linear("text_projection", "text_projection", use_bias=False),
        *image(model["image"]),
        *bert(model["text"]),
    ]


def write(description: Description) -> Settings:
    """config.json; ConfigError for what the two towers there do not have."""
    model, tokens = description.model, description.tokens
    image, text = model["image"], model["text"]
    refuse_unless(
        model.get("logit_bias_init") is None
        and model.get("project_image", True)
        and not model.get("text_projection_bias")
        and not model.get("share_projection"),
        "transformers' dual encoder has two projections, no bias in them, and "
        "no logit_bias; this model is another",
    )
    refuse_unless(
        text["pool"] == "pooler",
        f"model.text.pool is {text['pool']!r}; transformers' dual encoder takes the "
        "text from 'pooler'",
    )
    first = text["first_position"]
    ids = hf_clip.write_text_ids(description)
    ids["max_position_embeddings"] = tokens.length + first
    if text["kind"] == "roberta":
        refuse_unless(
            tokens.pad_id == ROBERTA_PADDING,
            f"the id of padding is {tokens.pad_id}; RoBERTa counts positions by it, "
            f"from {ROBERTA_PADDING} on",
        )
    return {
        "architectures": ["VisionTextDualEncoderModel"],
        "model_type": "vision-text-dual-encoder",
        "projection_dim": model["embedding_size"],
        "logit_scale_init_value": model["logit_scale_init"],
        "vision_config": _write_image(image, description),
        "text_config": hf_clip.write_tower(text)
        | ids
        | {"model_type": text["kind"], "type_vocab_size": text["token_types"]},
    }


def _write_image(image: Settings, description: Description) -> Settings:
    if image["kind"] == "vit":
        found = hf_clip.write_vision(image, description)
        return found | {"model_type": "clip_vision_model"}
    refuse_unless(
        image["pool"] == "pooler",
        f"model.image.pool is {image['pool']!r}; transformers' dual encoder takes the "
        "picture from 'pooler'",
    )
    return hf_clip.write_tower(image) | {
        "model_type": "vit",
        "image_size": description.preprocessing["image_size"],
        "patch_size": image["patch_size"],
    }


def read(config: Settings) -> Settings:
    """Our model settings."""
    image, text = config["vision_config"], config["text_config"]
    kind = "plain_vit" if image["model_type"] == "vit" else "vit"
    own = {"pool": "pooler"} if kind == "plain_vit" else {"pool": "class"}
    return {
        "embedding_size": config["projection_dim"],
        "logit_scale_init": config["logit_scale_init_value"],
        "image": {
            "kind": kind,
            "patch_size": image["patch_size"],
            **own,
            **hf_clip.read_tower(image),
        },
        "text": {
            "kind": text["model_type"],
            "pool": "pooler",
            "token_types": text["type_vocab_size"],
            "first_position": first_position(text),
            **hf_clip.read_tower(text),
        },
    }


def first_position(text: Settings) -> int:
    """Rows of the position embedding that no token uses."""
    if text.get("model_type") != "roberta":
        return 0
    return text["pad_token_id"] + 1


def family(image: str, text: str) -> Family:
    """Of one pair of towers."""
    return Family(
        kinds=(image, text),
        rules=rules,
        write=write,
        read=read,
        ignored=(r"embeddings\.position_ids$", r"embeddings\.token_type_ids$"),
    )


# By the model_types of the two towers.
FAMILIES = {
    f"{theirs} + {text}": family(ours, text)
    for theirs, ours in (("vit", "plain_vit"), ("clip_vision_model", "vit"))
    for text in TYPES
}

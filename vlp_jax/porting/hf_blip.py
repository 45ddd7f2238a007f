"""transformers' BLIP: a class for each use, with a decoder that shares nothing.

BlipForImageTextRetrieval, BlipForConditionalGeneration and BlipForQuestionAnswering.
None of them puts [ENC] in place of the start token of a text that is read with a
picture, as the paper does, or has a scale of likenesses.
"""

from vlp_jax.porting import hf_clip
from vlp_jax.porting.description import Description, Family, Settings, refuse_unless
from vlp_jax.porting.hf_text_towers import (
    bert_cross_attention,
    bert_head,
    bert_trunk,
)
from vlp_jax.porting.weights import (
    LEADING_1,
    LEADING_1_1,
    PATCHES,
    Rule,
    linear,
    norm,
    rule,
    stack_linear,
)

OWN_TOKENS = 2  # behind those of the tokenizer: [DEC] and [ENC]
USES = ("embedding_size", "matching", "captioning", "answering")
# The class there, and what it is for.
CLASSES = {
    "BlipForImageTextRetrieval": ("embedding_size", "matching"),
    "BlipForConditionalGeneration": ("captioning",),
    "BlipForQuestionAnswering": ("answering",),
}


def rules(model: Settings) -> list[Rule]:
    """Of whichever parts the model has."""
    found = vision(model["image"]["depth"])
    if model.get("text", {}).get("kind"):
        found += bert("text", "text_encoder", model["text"]["depth"])
    if model.get("decoder", {}).get("kind"):
        found += bert("decoder", "text_decoder.bert", model["decoder"]["depth"])
        found += bert_head("decoder/head", "text_decoder.cls.predictions")
    if model.get("embedding_size"):
        found += linear("image_projection", "vision_proj")
        found += linear("text_projection", "text_proj")
    if model["matching"]:
        found += linear("matching_head", "itm_head")
    return found


def vision(depth: int) -> list[Rule]:
    """BlipVisionModel."""
    part = "vision_model.embeddings"
    found = [
        *rule("image/class_token", f"{part}.class_embedding", LEADING_1_1),
        *rule(
            "image/patch_embedding/kernel", f"{part}.patch_embedding.weight", PATCHES
        ),
        *rule("image/patch_embedding/bias", f"{part}.patch_embedding.bias"),
        *rule("image/position_embedding", f"{part}.position_embedding", LEADING_1),
        *norm("image/norm_post", "vision_model.post_layernorm"),
    ]
    for i in range(depth):
        block, layer = f"image/encoder/block_{i}", f"vision_model.encoder.layers.{i}"
        three, own = ("query", "key", "value"), f"{layer}.self_attn"
        found += norm(f"{block}/norm_1", f"{layer}.layer_norm1")
        found += stack_linear(f"{block}/attention", three, f"{own}.qkv.")
        found += linear(f"{block}/attention/out", f"{own}.projection")
        found += norm(f"{block}/norm_2", f"{layer}.layer_norm2")
        found += linear(f"{block}/mlp/in", f"{layer}.mlp.fc1")
        found += linear(f"{block}/mlp/out", f"{layer}.mlp.fc2")
    return found


def bert(ours: str, theirs: str, depth: int) -> list[Rule]:
    """BlipTextModel: BERT without segments, cross-attention in every layer."""
    names = ours, theirs, depth
    return [*bert_trunk(*names, types=False), *bert_cross_attention(*names)]


def write(description: Description) -> Settings:
    """config.json; ConfigError for what no class there does."""
    model = description.model
    uses = tuple(name for name in USES if model.get(name))
    named = [name for name, found in CLASSES.items() if found == uses]
    refuse_unless(
        bool(named),
        f"transformers has a class of BLIP for each of "
        f"{', '.join(' with '.join(x) for x in CLASSES.values())}; this model has "
        f"{', '.join(uses)}: name the use to give, as --head=captioning",
    )
    image = model["image"]
    bert = [model[x] for x in ("text", "decoder") if model.get(x, {}).get("kind")]
    _check(model, bert)
    return {
        "architectures": named,
        "model_type": "blip",
        "image_text_hidden_size": model.get("embedding_size") or 256,
        "vision_config": hf_clip.write_tower(image)
        | {
            "image_size": description.preprocessing["image_size"],
            "patch_size": image["patch_size"],
        },
        "text_config": hf_clip.write_tower(bert[0])
        | write_tokens(description)
        | {"encoder_hidden_size": image["width"]},
    }


def _check(model: Settings, bert: list[Settings]) -> None:
    """ConfigError for parts that transformers has in another form."""
    image = model["image"]
    refuse_unless(
        image["kind"] == "plain_vit",
        f"transformers' BLIP has the image tower 'plain_vit', not {image['kind']!r}",
    )
    refuse_unless(
        not any(tower["token_types"] for tower in bert),
        "transformers' BLIP has no types of tokens; this model has token_types",
    )
    shapes = [hf_clip.write_tower(tower) for tower in bert]
    refuse_unless(
        shapes[0] == shapes[-1],
        "transformers' BLIP has an encoder and a decoder of one shape; this model has "
        "others",
    )
    if model["captioning"] or model["answering"]:
        refuse_unless(
            bool(model["decoder"]["kind"]),
            "transformers' BLIP has a decoder that shares nothing with an encoder; "
            "name the use to give, as --head=captioning, and it gets a copy",
        )
    if model["matching"] or model["answering"]:
        refuse_unless(
            not model["encode_token"],
            "transformers' BLIP reads a text beside a picture from its own start "
            "token; this model puts [ENC] there: train with model.encode_token=False",
        )
    if model.get("embedding_size"):
        refuse_unless(
            not model["has_scale"],
            "transformers' BLIP has no logit_scale; name the use to give, as "
            "--head=matching, and it is left out",
        )


def write_tokens(description: Description) -> Settings:
    """What a text_config says of the tokenizer, and of the model's own tokens."""
    tokens = description.tokens
    return {
        "vocab_size": tokens.vocab_size + OWN_TOKENS,
        "max_position_embeddings": tokens.length,
        "bos_token_id": tokens.vocab_size,
        "eos_token_id": tokens.eos_id,
        "sep_token_id": tokens.eos_id,
        "pad_token_id": tokens.pad_id,
    }


def read(config: Settings) -> Settings:
    """Our model settings; ConfigError for what we lack."""
    name = (config.get("architectures") or ["nothing"])[0]
    refuse_unless(
        name in CLASSES,
        f"config.json names the class {name}; expected one of {', '.join(CLASSES)}",
    )
    text, image = config["text_config"], config["vision_config"]
    known = text["vocab_size"] - OWN_TOKENS
    refuse_unless(
        text["bos_token_id"] == known,
        f"text_config starts texts with the token {text['bos_token_id']}; expected "
        f"{known}, the first of the two behind those of the tokenizer",
    )
    refuse_unless(
        text["is_decoder"] and config["tie_word_embeddings"],
        "config.json has no cross-attention (is_decoder) or a head that is not the "
        "token embedding (tie_word_embeddings); no published one is so",
    )
    bert = {"token_types": 0, **hf_clip.read_tower(text)}
    uses = {use: use in CLASSES[name] for use in USES}
    if uses.pop("embedding_size"):
        uses["embedding_size"] = config["image_text_hidden_size"]
    found = uses | {
        "kind": "blip",
        "encode_token": False,
        "has_scale": False,
        "image": {
            "kind": "plain_vit",
            "patch_size": image["patch_size"],
            **hf_clip.read_tower(image),
        },
    }
    if not uses["captioning"]:
        found["text"] = {"kind": "mixed_bert", **bert}
    if uses["captioning"] or uses["answering"]:
        found["decoder"] = {"kind": "bert", **bert}
    return found


FAMILY = Family(
    kinds=("blip",),
    rules=rules,
    write=write,
    read=read,
    # Buffers, and the last linear map, which is the token embedding and its bias.
    ignored=(
        r"embeddings\.position_ids$",
        r"^text_decoder\.cls\.predictions\.decoder\.(weight|bias)$",
    ),
    classes=tuple(CLASSES),
    own_tokens=OWN_TOKENS,
)

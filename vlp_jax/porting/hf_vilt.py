"""transformers' ViLT: a class for each head, all on one transformer.

ViltForMaskedLM, ViltForImageAndTextRetrieval and ViltForQuestionAnswering; a model of
ours may have several heads, and gives one of them to each export.
"""

from vlp_jax.porting import hf_clip
from vlp_jax.porting.description import Description, Family, Settings, refuse_unless
from vlp_jax.porting.hf_text_towers import layers
from vlp_jax.porting.weights import (
    LEADING_1,
    LEADING_1_1,
    PATCHES,
    Rule,
    linear,
    norm,
    rule,
)

# The setting of a head, and the class there that has it alone.
CLASSES = {
    "masked_lm": "ViltForMaskedLM",
    "matching": "ViltForImageAndTextRetrieval",
    "answers": "ViltForQuestionAnswering",
}
HEADS = {name: head for head, name in CLASSES.items()}


def rules(model: Settings) -> list[Rule]:
    """Of whichever heads the model has."""
    part = "vilt.embeddings"
    patches, text = f"{part}.patch_embeddings.projection", f"{part}.text_embeddings"
    names = {"token": "word", "position": "position", "type": "token_type"}
    return [
        *(
            Rule((f"text/{ours}_embedding",), f"{text}.{theirs}_embeddings.weight")
            for ours, theirs in names.items()
        ),
        *norm("text/norm_pre", f"{text}.LayerNorm"),
        *rule("modality_embedding", f"{part}.token_type_embeddings.weight"),
        *rule("image/class_token", f"{part}.cls_token", LEADING_1_1),
        *rule("image/patch_embedding/kernel", f"{patches}.weight", PATCHES),
        *rule("image/patch_embedding/bias", f"{patches}.bias"),
        *rule("image/position_embedding", f"{part}.position_embeddings", LEADING_1),
        *layers(
            "image",
            "vilt",
            model["image"]["depth"],
            "attention",
            ("layernorm_before", "layernorm_after"),
        ),
        *norm("image/norm_post", "vilt.layernorm"),
        *linear("pooler", "vilt.pooler.dense"),
        *(found for head in _heads(model) for found in HEAD_RULES[head]),
    ]


def _heads(model: Settings) -> list[str]:
    return [head for head in CLASSES if model.get(head)]


HEAD_RULES = {
    "masked_lm": [  # whose decoder is the token embedding
        *linear("masked_lm_head/transform", "mlm_score.transform.dense"),
        *norm("masked_lm_head/norm", "mlm_score.transform.LayerNorm"),
        *rule("masked_lm_head/bias", "mlm_score.decoder.bias"),
    ],
    "matching": linear("matching_head", "rank_output"),
    "answers": [
        *linear("answer_head/in", "classifier.0"),
        *norm("answer_head/norm", "classifier.1"),
        *linear("answer_head/out", "classifier.3"),
    ],
}


def write(description: Description) -> Settings:
    """config.json; ConfigError for more than one head, or none."""
    model, tokens = description.model, description.tokens
    heads = _heads(model)
    refuse_unless(
        len(heads) == 1,
        f"transformers has a class for each head of ViLT, and this model has "
        f"{' and '.join(heads) or 'none'}; name the one to give, as --head=masked_lm",
    )
    found = hf_clip.write_tower(model["image"]) | {
        "architectures": [CLASSES[heads[0]]],
        "model_type": "vilt",
        "image_size": description.preprocessing["image_size"],
        "patch_size": model["image"]["patch_size"],
        "vocab_size": tokens.vocab_size,
        "max_position_embeddings": tokens.length,
        "pad_token_id": tokens.pad_id,
        "type_vocab_size": model["token_types"],
    }
    if heads == ["answers"]:
        names = dict(enumerate(model["answers"]))
        found["id2label"] = {str(i): name for i, name in names.items()}
        found["label2id"] = {name: i for i, name in names.items()}
    return found


def read(config: Settings) -> Settings:
    """Our model settings; ConfigError for what we lack."""
    name = (config.get("architectures") or ["nothing"])[0]
    refuse_unless(
        name in HEADS,
        f"config.json names the class {name}; expected one of {', '.join(HEADS)}",
    )
    size, patch = config["image_size"], config["patch_size"]
    kinds = config["modality_type_vocab_size"], config["num_channels"]
    refuse_unless(
        kinds == (2, 3) and config["qkv_bias"],
        "config.json is of a ViLT for several pictures (modality_type_vocab_size), "
        "other channels or without qkv_bias; expected words and one picture in RGB",
    )
    most = config["max_image_length"]
    refuse_unless(
        most < 0 or most >= (size // patch) ** 2,
        f"config.json has max_image_length={most}: patches are left out at random, "
        f"also where nothing is trained; set it to -1",
    )
    found = {head: HEADS[name] == head for head in ("masked_lm", "matching")}
    if HEADS[name] == "answers":
        answers = {int(i): answer for i, answer in config["id2label"].items()}
        found["answers"] = tuple(answers[i] for i in range(len(answers)))
    return found | {
        "kind": "vilt",
        "token_types": config["type_vocab_size"],
        "image": {
            "kind": "stream_vit",
            "patch_size": patch,
            **hf_clip.read_tower(config),
        },
    }


FAMILY = Family(
    kinds=("vilt",),
    rules=rules,
    write=write,
    read=read,
    # Buffers, and the decoder of words, which is the token embedding.
    ignored=(
        r"text_embeddings\.(position|token_type)_ids$",
        r"^mlm_score\.decoder\.weight$",
    ),
    renamed={"mlm_score.bias": "mlm_score.decoder.bias"},
    classes=tuple(HEADS),
)

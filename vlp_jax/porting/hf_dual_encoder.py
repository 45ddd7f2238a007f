"""transformers' VisionTextDualEncoderModel: ViT or CLIP's ViT with BERT or RoBERTa."""

from vlp_jax.porting.description import Description, Family, Settings, refuse_unless
from vlp_jax.porting.hf_image_towers import IMAGES
from vlp_jax.porting.hf_text_towers import TEXTS
from vlp_jax.porting.weights import Rule, linear, rule

MODEL_TYPE = "vision-text-dual-encoder"
BUFFERS = (r"embeddings\.position_ids$", r"embeddings\.token_type_ids$")  # of old files
# {the model_types of an image and a text tower: our kinds}, of all pairs.
KINDS = {
    (one.model_type, other.model_type): (image, text)
    for image, one in IMAGES.items()
    for text, other in TEXTS.items()
}


def rules(model: Settings) -> list[Rule]:
    """Of any two towers."""
    image, text = model["image"], model["text"]
    return [
        *rule("logit_scale", "logit_scale"),
        *linear("image_projection", "visual_projection", use_bias=False),
        *linear("text_projection", "text_projection", use_bias=False),
        *IMAGES[image["kind"]].rules(image),
        *TEXTS[text["kind"]].rules(text),
    ]


def write_towers(description: Description) -> Settings:
    """What a config says of the towers and their projections.

    ConfigError for what neither transformers nor our own class (hf_own_class.py) has.
    """
    model = description.model
    refuse_unless(
        model.get("project_image", True)
        and not model.get("text_projection_bias")
        and not model.get("share_projection"),
        "transformers' dual encoder has two projections and no bias in them; this "
        "model is another",
    )
    image, text = IMAGES[model["image"]["kind"]], TEXTS[model["text"]["kind"]]
    return {
        "projection_dim": model["embedding_size"],
        "logit_scale_init_value": model["logit_scale_init"],
        "vision_config": image.write(description) | {"model_type": image.model_type},
        "text_config": text.write(description) | {"model_type": text.model_type},
    }


def write(description: Description) -> Settings:
    """config.json; ConfigError for what the model there does not have."""
    refuse_unless(
        description.model.get("logit_bias_init") is None,
        "transformers' dual encoder has no logit_bias; this model is another",
    )
    return write_towers(description) | {
        "architectures": ["VisionTextDualEncoderModel"],
        "model_type": MODEL_TYPE,
    }


def read(config: Settings) -> Settings:
    """Our model settings."""
    image, text = config["vision_config"], config["text_config"]
    image_kind, text_kind = KINDS[image["model_type"], text["model_type"]]
    return {
        "embedding_size": config["projection_dim"],
        "logit_scale_init": config["logit_scale_init_value"],
        "image": {"kind": image_kind, **IMAGES[image_kind].read(image)},
        "text": {
            "kind": text_kind,
            "pool": "pooler",
            **TEXTS[text_kind].read(text),
        },
    }


FAMILIES = {
    f"{MODEL_TYPE} of {one} + {other}": Family(
        kinds=(image, text), rules=rules, write=write, read=read, ignored=BUFFERS
    )
    for (one, other), (image, text) in KINDS.items()
    if image != "resnet" and text != "gpt2"
}

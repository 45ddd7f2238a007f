"""transformers' SiglipModel: a ViT with attention pooling, and a text transformer.

transformers starts its logit_scale and logit_bias at 0; a file with weights has them.
"""

from vlp_jax.porting import hf_clip
from vlp_jax.porting.description import Description, Family, Settings, refuse_unless
from vlp_jax.porting.weights import (
    LEADING_1_1,
    PATCHES,
    SCALAR_1D,
    Rule,
    linear,
    norm,
    rule,
    stacked_attention,
)


def rules(model: Settings) -> list[Rule]:
    """SiglipModel."""
    part, head = "vision_model.embeddings", "vision_model.head"
    return [
        *rule("logit_scale", "logit_scale", SCALAR_1D),
        *rule("logit_bias", "logit_bias", SCALAR_1D),
        *rule(
            "image/patch_embedding/kernel", f"{part}.patch_embedding.weight", PATCHES
        ),
        *rule("image/patch_embedding/bias", f"{part}.patch_embedding.bias"),
        *rule("image/position_embedding", f"{part}.position_embedding.weight"),
        *hf_clip.encoder("image", "vision_model", model["image"]["depth"]),
        *norm("image/norm_post", "vision_model.post_layernorm"),
        *rule("image/pool/probe", f"{head}.probe", LEADING_1_1),
        *stacked_attention("image/pool/attention", f"{head}.attention"),
        *norm("image/pool/norm", f"{head}.layernorm"),
        *linear("image/pool/mlp/in", f"{head}.mlp.fc1"),
        *linear("image/pool/mlp/out", f"{head}.mlp.fc2"),
        *hf_clip.text_embeddings(),
        *hf_clip.encoder("text", "text_model", model["text"]["depth"]),
        *norm("text/norm_post", "text_model.final_layer_norm"),
        *linear("text_projection", "text_model.head"),
    ]


def write(description: Description) -> Settings:
    """config.json; ConfigError for what SiglipConfig cannot say."""
    model = description.model
    image, text = model["image"], model["text"]
    refuse_unless(
        model.get("logit_bias_init") is not None
        and not model.get("project_image", True)
        and bool(model.get("text_projection_bias")),
        "transformers' SigLIP has a logit_bias, no image projection and a bias in the "
        "text projection; this model is another",
    )
    refuse_unless(
        text["pool"] == "last" and not text["causal"],
        "transformers' SigLIP reads the last position of a text tower that is not "
        f"causal; this one has pool={text['pool']!r}, causal={text['causal']}",
    )
    return {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "text_config": hf_clip.write_tower(text)
        | hf_clip.write_text_ids(description)
        | {"projection_size": model["embedding_size"]},
        "vision_config": hf_clip.write_tower(image)
        | {
            "image_size": description.preprocessing["image_size"],
            "patch_size": image["patch_size"],
        },
    }


def read(config: Settings) -> Settings:
    """Our model settings."""
    text, image = config["text_config"], config["vision_config"]
    refuse_unless(
        image.get("vision_use_head", True),
        "this SiglipModel has no pooling head (vision_use_head); it is not supported",
    )
    return {
        "embedding_size": text["projection_size"],
        "project_image": False,
        "text_projection_bias": True,
        "logit_scale_init": 2.3025851,  # ln 10 and -10, as SigLIP is trained from
        "logit_bias_init": -10.0,
        "image": {
            "kind": "siglip_vit",
            "patch_size": image["patch_size"],
            **hf_clip.read_tower(image),
        },
        "text": {
            "kind": "siglip_text",
            "causal": False,
            "pool": "last",
            **hf_clip.read_tower(text),
        },
    }


FAMILY = Family(
    kinds=("siglip_vit", "siglip_text"),
    rules=rules,
    write=write,
    read=read,
    ignored=hf_clip.FAMILY.ignored,
)

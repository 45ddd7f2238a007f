"""open_clip's CoCa: CLIP's towers, a pooler of queries, and a multimodal decoder."""

import numpy as np

from vlp_jax.porting import open_clip_clip
from vlp_jax.porting.description import Description, Family, Settings, refuse_unless
from vlp_jax.porting.open_clip_clip import EPSILON
from vlp_jax.porting.open_clip_settings import check_known
from vlp_jax.porting.weights import (
    TRANSPOSED,
    Change,
    Rule,
    linear,
    norm,
    rule,
    stacked,
    stacked_attention,
)

MLP_RATIO = 4.0  # of the decoder: its config has no say
# bos, eos and padding of the tokenizer that open_clip brings along, and its tokens.
OWN_TOKENIZER = dict(bos_id=49406, eos_id=49407, vocab_size=49408)
OWN_PADDING = 0
# Settings that a CoCa has beside those of a CLIP, by their section.
VISION, TEXT = {"attentional_pool"}, {"embed_cls"}
DECODER = {"context_length", "vocab_size", "width", "heads", "layers"}
# Read by nobody.
DECODER_OTHERS = {"attn_pooler_heads", "n_queries", "dim_head", "mlp_ratio"}

# The class token has the last of the positions.
LAST_APART = Change(
    lambda tokens, last: np.concatenate([tokens, last[None]]),
    lambda x: (x[:-1], x[-1]),
)


def image(model: Settings) -> list[Rule]:
    """The image tower; its last norm is the pooler's, and the pooler has one more."""
    pool, ours = "visual.attn_pool", "image_pool/attention"
    found = open_clip_clip.image_tower(model["image"]["depth"])
    found += norm("image/norm_post", f"{pool}.ln_k")
    found += rule("image_pool/query", f"{pool}.query")
    found += norm("image_pool/norm_query", f"{pool}.ln_q")
    if model["image"]["width"] == model["embedding_size"]:
        found += stacked_attention(ours, f"{pool}.attn")
    else:
        names = ("query", "key", "value")
        for name in names:
            theirs = f"{pool}.attn.{name[0]}_proj_weight"
            found += rule(f"{ours}/{name}/kernel", theirs, TRANSPOSED)
        biases = tuple(f"{ours}/{name}/bias" for name in names)
        found.append(Rule(biases, f"{pool}.attn.in_proj_bias", stacked(3)))
        found += linear(f"{ours}/out", f"{pool}.attn.out_proj")
    found += norm("image_pool/norm_post", "visual.ln_post")
    return found + rule("image_projection/kernel", "visual.proj")


def text(model: Settings) -> list[Rule]:
    """The text tower."""
    positions = ("text/position_embedding", "text/class_position")
    return [
        *rule("text/token_embedding", "text.token_embedding.weight"),
        Rule(positions, "text.positional_embedding", LAST_APART),
        *rule("text/class_token", "text.cls_emb"),
        *open_clip_clip.resblocks("text", "text.transformer", model["text"]["depth"]),
        *norm("text/norm_post", "text.ln_final"),
        *rule("text_projection/kernel", "text.text_projection"),
    ]


def decoder(model: Settings) -> list[Rule]:
    """The multimodal layers and the scores of tokens."""
    depth = model["fusion"]["depth"]
    found = open_clip_clip.resblocks("fusion", "text_decoder", depth)
    for i in range(depth):
        block, layer = f"fusion/encoder/block_{i}", f"text_decoder.cross_attn.{i}"
        found += norm(f"{block}/norm_cross", f"{layer}.ln_1")
        found += norm(f"{block}/norm_context", f"{layer}.ln_1_kv")
        found += stacked_attention(f"{block}/cross_attention", f"{layer}.attn")
        found += norm(f"{block}/norm_cross_mlp", f"{layer}.ln_2")
        found += linear(f"{block}/cross_mlp/in", f"{layer}.mlp.c_fc")
        found += linear(f"{block}/cross_mlp/out", f"{layer}.mlp.c_proj")
    found += norm("fusion/norm_post", "text_decoder.ln_final")
    return found + rule("token_projection/kernel", "text_decoder.text_projection")


def rules(model: Settings) -> list[Rule]:
    """open_clip.coca_model.CoCa with its own towers."""
    scale = rule("logit_scale", "logit_scale")
    return [*scale, *image(model), *text(model), *decoder(model)]


def write(description: Description) -> Settings:
    """model_cfg; ConfigError for what it cannot say."""
    model, tokens = description.model, description.tokens
    image, text, fusion = model["image"], model["text"], model["fusion"]
    check_decoder(model)
    refuse_unless(
        image["norm_epsilon"] == EPSILON and text["shifted_mask"],
        "open_clip's CoCa has norm_epsilon=1e-05 in the image tower and a mask that "
        "is shifted (model.text.shifted_mask); this model is another",
    )
    # Where a CoCa reads its texts CLIP would read the last position.
    like_clip = {"text": text | {"causal": True, "pool": "last"}, "project_image": True}
    clip = Description(model | like_clip, description.preprocessing, tokens)
    found = open_clip_clip.write(clip)
    found["vision_cfg"] |= {
        "attentional_pool": True,
        "attn_pooler_queries": model["queries"],
        "attn_pooler_heads": model["pooler_heads"],
        "output_tokens": True,
    }
    del found["text_cfg"]["pool_type"]
    found["text_cfg"] |= {"embed_cls": True, "output_tokens": True}
    found["text_cfg"] |= write_padding(description)
    found["multimodal_cfg"] = {
        "context_length": tokens.length,
        "vocab_size": tokens.vocab_size,
        "width": fusion["width"],
        "heads": fusion["heads"],
        "layers": fusion["depth"],
    }
    if found["text_cfg"]["hf_tokenizer_name"] is None:
        del (
            found["text_cfg"]["hf_tokenizer_name"],
            found["text_cfg"]["tokenizer_kwargs"],
        )
    return found | {"custom_text": True}


def check_decoder(model: Settings) -> None:
    """ConfigError for multimodal layers that open_clip's config cannot describe."""
    fusion, quick = model["fusion"], model["text"]["activation"] == "quick_gelu"
    expected = "quick_gelu" if quick else "gelu"
    found = (fusion["mlp_ratio"], fusion["norm_epsilon"], fusion["activation"])
    refuse_unless(
        found == (MLP_RATIO, EPSILON, expected),
        "model.fusion has mlp_ratio, norm_epsilon and activation "
        f"{', '.join(map(str, found))}; open_clip's decoder always has {MLP_RATIO}, "
        f"{EPSILON} and here {expected}",
    )
    refuse_unless(
        fusion["width"] == model["embedding_size"],
        f"model.embedding_size is {model['embedding_size']} and model.fusion.width "
        f"{fusion['width']}; open_clip's decoder is as wide as the embeddings",
    )


def write_padding(description: Description) -> Settings:
    """How texts are padded: by the tokenizer in the folder, or by open_clip's own."""
    tokens, chosen = description.tokens, description.model["text"]["padding_id"]
    padding = tokens.pad_id if chosen is None else chosen
    if padding == tokens.pad_id:
        return {"pad_id": padding}
    own = all(getattr(tokens, name) == value for name, value in OWN_TOKENIZER.items())
    refuse_unless(
        own and padding == OWN_PADDING and tokens.canonicalise == "clip",
        f"model.text.padding_id is {padding}, and the tokenizer pads with "
        f"{tokens.pad_id}; open_clip can do so only with CLIP's own tokenizer and "
        "tokenizer.canonicalise='clip'",
    )
    return {"pad_id": padding, "hf_tokenizer_name": None}


def read(config: Settings) -> Settings:
    """Our model settings; ConfigError for what we lack."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    multimodal = config["multimodal_cfg"]
    refuse_unless(
        vision.get("attentional_pool") is True and bool(text.get("embed_cls")),
        f"vision_cfg has attentional_pool={vision.get('attentional_pool')!r} and "
        f"text_cfg embed_cls={text.get('embed_cls')!r}; expected True in both, as "
        "every published CoCa has",
    )
    refuse_unless(
        not text.get("no_causal_mask")
        and not text.get("proj_bias")
        and not vision.get("norm_kwargs")
        and config.get("init_logit_bias") is None,
        "open_clip_config.json sets no_causal_mask, proj_bias, init_logit_bias or "
        "norm_kwargs of vision_cfg, which our CoCa does not have",
    )
    others = [
        k for k, v in multimodal.items() if v and k not in DECODER | DECODER_OTHERS
    ]
    refuse_unless(
        not others,
        f"multimodal_cfg of open_clip_config.json sets {', '.join(others)}, which this "
        "port does not know",
    )
    clip = {k: v for k, v in config.items() if k != "multimodal_cfg"}
    clip["vision_cfg"] = {k: v for k, v in vision.items() if k not in VISION}
    clip["text_cfg"] = {k: v for k, v in text.items() if k not in TEXT}
    check_known("model_cfg", clip)
    found = open_clip_clip.read(clip)
    tower = {k: v for k, v in found["text"].items() if k not in ("causal", "pool")}
    decoder = open_clip_clip.read_tower(
        {k: multimodal[k] for k in ("width", "layers")}, bool(config.get("quick_gelu"))
    )
    return found | {
        "kind": "coca",
        "queries": vision.get("attn_pooler_queries", 256),
        "pooler_heads": vision.get("attn_pooler_heads", 8),
        "text": tower | {"kind": "coca_text", "padding_id": text.get("pad_id", 0)},
        "fusion": decoder | {"kind": "coca", "heads": multimodal["heads"]},
    }


FAMILY = Family(
    kinds=("coca",),
    rules=rules,
    write=write,
    read=read,
    ignored=(r"(^|\.)attn_mask$",),
)

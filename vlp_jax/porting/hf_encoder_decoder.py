"""transformers' VisionEncoderDecoderModel: a ViT, and a GPT-2 or a BERT that writes."""

import numpy as np

from vlp_jax.porting.description import Description, Family, Settings, refuse_unless
from vlp_jax.porting.hf_image_towers import IMAGES, plain_vit_trunk
from vlp_jax.porting.hf_text_towers import (
    TEXTS,
    bert_cross_attention,
    bert_head,
    bert_trunk,
    gpt2_linear,
    gpt2_trunk,
)
from vlp_jax.porting.weights import Rule, linear, norm

MODEL_TYPE = "vision-encoder-decoder"
CLASS = "VisionEncoderDecoderModel"
# What makes a text model there a decoder that looks at pictures.
DECODES = {"is_decoder": True, "add_cross_attention": True}


def bert(depth: int) -> list[Rule]:
    """BertLMHeadModel with cross-attention."""
    names = "decoder", "decoder.bert", depth
    head = bert_head("decoder/head", "decoder.cls.predictions")
    return [*bert_trunk(*names), *bert_cross_attention(*names), *head]


def gpt2(depth: int) -> list[Rule]:
    """GPT2LMHeadModel with cross-attention."""
    found = gpt2_trunk("decoder", "decoder.transformer", depth)
    for i in range(depth):
        block, layer = f"decoder/encoder/block_{i}", f"decoder.transformer.h.{i}"
        attention, theirs = f"{block}/cross_attention", f"{layer}.crossattention"
        found += norm(f"{block}/norm_cross", f"{layer}.ln_cross_attn")
        found += gpt2_linear(attention, ("query",), f"{theirs}.q_attn")
        found += gpt2_linear(attention, ("key", "value"), f"{theirs}.c_attn")
        found += gpt2_linear(attention, ("out",), f"{theirs}.c_proj")
    return found


DECODERS = {"bert": bert, "gpt2": gpt2}


def rules(model: Settings) -> list[Rule]:
    """The encoder's pooler, which nobody reads, is written as zeros."""
    image, decoder = model["image"], model["decoder"]
    width = image["width"]
    found = plain_vit_trunk("encoder", image["depth"])
    for name, shape in (("weight", (width, width)), ("bias", (width,))):
        zeros = np.zeros(shape, np.float32)
        found.append(Rule((), f"encoder.pooler.dense.{name}", constant=zeros))
    if width != decoder["width"]:
        found += linear("context_projection", "enc_to_dec_proj")
    return found + DECODERS[decoder["kind"]](decoder["depth"])


def start_id(description: Description) -> int | None:
    """What the decoder begins with."""
    tokens = description.tokens
    return tokens.eos_id if tokens.bos_id is None else tokens.bos_id


def write(description: Description) -> Settings:
    """config.json; ConfigError for what the model there does not have."""
    model, tokens = description.model, description.tokens
    image, decoder = model["image"], model["decoder"]
    refuse_unless(
        image["kind"] == "plain_vit",
        f"model.image.kind is {image['kind']!r}; transformers' encoder-decoder shows "
        "its decoder the tokens of a 'plain_vit', and of other towers not those we do",
    )
    refuse_unless(
        decoder["kind"] in DECODERS,
        f"model.decoder.kind is {decoder['kind']!r}; transformers' encoder-decoder has "
        f"{', '.join(DECODERS)}",
    )
    # As the tower that the same kind is in a dual encoder.
    tower = {"pool": "pooler", "causal": True}
    towers = {"image": image | tower, "text": decoder | tower}
    described = Description(model | towers, description.preprocessing, tokens)
    text = TEXTS[decoder["kind"]].write(described)
    encoder = IMAGES["plain_vit"].write(described) | {"model_type": "vit"}
    return {
        "architectures": [CLASS],
        "model_type": MODEL_TYPE,
        "is_encoder_decoder": True,
        "tie_word_embeddings": False,  # of the two models; the decoder's own are tied
        "decoder_start_token_id": start_id(description),
        "eos_token_id": tokens.eos_id,
        "pad_token_id": tokens.pad_id,
        "encoder": encoder,
        "decoder": text | DECODES | {"model_type": decoder["kind"]},
    }


def read(config: Settings) -> Settings:
    """Our model settings; ConfigError for what we lack."""
    encoder, decoder = config["encoder"], config["decoder"]
    kind = decoder["model_type"]
    decodes = {key: decoder.get(key) for key in DECODES}
    refuse_unless(
        decodes == DECODES
        and decoder.get("tie_word_embeddings", True)
        and decoder.get("cross_attention_hidden_size") is None,
        "the decoder of config.json has no cross-attention (is_decoder, "
        "add_cross_attention), one of a width of its own, or a head that is not the "
        "token embedding; our captioner has none of these",
    )
    text = TEXTS[kind].read(decoder | dict.fromkeys(DECODES, False))
    image = IMAGES["plain_vit"].read(encoder)
    return {
        "kind": "captioner",
        "image": {"kind": "plain_vit", **image},
        "decoder": {"kind": kind, **text},
    }


FAMILIES = {
    f"{MODEL_TYPE} of vit + {kind}": Family(
        kinds=("captioner",),
        rules=rules,
        write=write,
        read=read,
        # Buffers of old files; heads, which are the token embedding, and their bias.
        ignored=(
            r"embeddings\.(position_ids|token_type_ids)$",
            r"\.(attn|crossattention)\.(masked_)?bias$",
            r"^decoder\.lm_head\.weight$",
            r"^decoder\.cls\.predictions\.decoder\.(weight|bias)$",
        ),
        classes=(CLASS,),
    )
    for kind in DECODERS
}

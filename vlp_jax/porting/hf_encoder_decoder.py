"""transformers' VisionEncoderDecoderModel: a ViT, and a GPT-2 or a BERT that writes."""

import numpy as np

from vlp_jax.porting.description import Settings
from vlp_jax.porting.hf_image_towers import plain_vit_trunk
from vlp_jax.porting.hf_text_towers import bert_trunk, gpt2_linear, gpt2_trunk
from vlp_jax.porting.weights import Rule, linear, norm, rule


def bert(depth: int) -> list[Rule]:
    """BertLMHeadModel with cross-attention."""
    found = bert_trunk("decoder", "decoder.bert", depth)
    for i in range(depth):
        block = f"decoder/encoder/block_{i}"
        layer = f"decoder.bert.encoder.layer.{i}.crossattention"
        for name in ("query", "key", "value"):
            found += linear(f"{block}/cross_attention/{name}", f"{layer}.self.{name}")
        found += linear(f"{block}/cross_attention/out", f"{layer}.output.dense")
        found += norm(f"{block}/norm_cross", f"{layer}.output.LayerNorm")
    head = "decoder.cls.predictions"
    found += linear("decoder/head/transform", f"{head}.transform.dense")
    found += norm("decoder/head/norm", f"{head}.transform.LayerNorm")
    return found + rule("decoder/head/bias", f"{head}.bias")


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

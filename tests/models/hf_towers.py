"""HF's towers and ours of the same shape: BERT, RoBERTa, GPT-2, ViT and CLIP's ViT."""

import functools

import numpy as np

from tests.models.clip_pair import (
    LENGTH,
    PATCH,
    SIZE,
    VOCABULARY,
    linear,
    norm,
    patches,
    same,
    trunk,
)
from vlp_jax.models.bert import Bert, Roberta
from vlp_jax.models.gpt2 import Gpt2
from vlp_jax.models.vit import PlainViT, ViT

IMAGE = dict(width=24, depth=2, heads=3)
TEXT = dict(width=16, depth=2, heads=2)
PADDING, END = 1, 25  # ids of clip_pair's captions
ROWS = LENGTH + 2  # of a table of positions: more than the captions have tokens


def table(ours, theirs, change=same):
    return {ours: (theirs, change)}


def third(index):
    """One of query, key and value, which GPT-2 keeps side by side."""
    return lambda x: np.split(x, 3, axis=-1)[index]


def maps(ours, theirs, pairs):
    """{our name: their name} of linear maps as a table."""
    found = {}
    for one, other in pairs.items():
        found |= linear(f"{ours}/{one}", f"{theirs}.{other}")
    return found


def bert_table(ours, theirs):
    """Ours: 'text/', theirs: 'text_model.', or both empty."""
    words = f"{theirs}embeddings"
    found = {
        **table(f"{ours}token_embedding", f"{words}.word_embeddings.weight"),
        **table(f"{ours}position_embedding", f"{words}.position_embeddings.weight"),
        **table(f"{ours}type_embedding", f"{words}.token_type_embeddings.weight"),
        **norm(f"{ours}norm_pre", f"{words}.LayerNorm"),
        **linear(f"{ours}pooler", f"{theirs}pooler.dense"),
    }
    for i in range(TEXT["depth"]):
        block, layer = f"{ours}encoder/block_{i}", f"{theirs}encoder.layer.{i}"
        found |= norm(f"{block}/norm_1", f"{layer}.attention.output.LayerNorm")
        found |= norm(f"{block}/norm_2", f"{layer}.output.LayerNorm")
        names = {name: f"self.{name}" for name in ("query", "key", "value")}
        names["out"] = "output.dense"
        found |= maps(f"{block}/attention", f"{layer}.attention", names)
        names = {"in": "intermediate.dense", "out": "output.dense"}
        found |= maps(f"{block}/mlp", layer, names)
    return found


def gpt2_table(ours, theirs):
    """GPT-2 keeps its matrices as we do: rows are inputs."""

    def kept(ours, theirs):
        return table(f"{ours}/kernel", f"{theirs}.weight") | table(
            f"{ours}/bias", f"{theirs}.bias"
        )

    found = {
        **table(f"{ours}token_embedding", f"{theirs}wte.weight"),
        **table(f"{ours}position_embedding", f"{theirs}wpe.weight"),
        **norm(f"{ours}norm_post", f"{theirs}ln_f"),
    }
    for i in range(TEXT["depth"]):
        block, layer = f"{ours}encoder/block_{i}", f"{theirs}h.{i}"
        found |= norm(f"{block}/norm_1", f"{layer}.ln_1")
        found |= norm(f"{block}/norm_2", f"{layer}.ln_2")
        for index, name in enumerate(("query", "key", "value")):
            kernel, bias = (f"{block}/attention/{name}/{x}" for x in ("kernel", "bias"))
            found |= table(kernel, f"{layer}.attn.c_attn.weight", third(index))
            found |= table(bias, f"{layer}.attn.c_attn.bias", third(index))
        found |= kept(f"{block}/attention/out", f"{layer}.attn.c_proj")
        found |= kept(f"{block}/mlp/in", f"{layer}.mlp.c_fc")
        found |= kept(f"{block}/mlp/out", f"{layer}.mlp.c_proj")
    return found


def vit_table(ours, theirs):
    """By the names in memory; the saved files have those of earlier versions."""
    words = f"{theirs}embeddings"
    projection = f"{words}.patch_embeddings.projection"
    found = {
        **table(f"{ours}class_token", f"{words}.cls_token", np.ravel),
        **table(
            f"{ours}position_embedding", f"{words}.position_embeddings", np.squeeze
        ),
        **table(f"{ours}patch_embedding/kernel", f"{projection}.weight", patches),
        **table(f"{ours}patch_embedding/bias", f"{projection}.bias"),
        **norm(f"{ours}norm_post", f"{theirs}layernorm"),
        **linear(f"{ours}pooler", f"{theirs}pooler.dense"),
    }
    for i in range(IMAGE["depth"]):
        block, layer = f"{ours}encoder/block_{i}", f"{theirs}layers.{i}"
        found |= norm(f"{block}/norm_1", f"{layer}.layernorm_before")
        found |= norm(f"{block}/norm_2", f"{layer}.layernorm_after")
        names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "o_proj"}
        found |= maps(f"{block}/attention", f"{layer}.attention", names)
        found |= maps(f"{block}/mlp", f"{layer}.mlp", {"in": "fc1", "out": "fc2"})
    return found


def clip_vit_table(ours, theirs):
    words = f"{theirs}embeddings"
    return {
        **table(f"{ours}class_token", f"{words}.class_embedding"),
        **table(f"{ours}position_embedding", f"{words}.position_embedding.weight"),
        **table(
            f"{ours}patch_embedding/kernel", f"{words}.patch_embedding.weight", patches
        ),
        **norm(f"{ours}norm_pre", f"{theirs}pre_layrnorm"),
        **norm(f"{ours}norm_post", f"{theirs}post_layernorm"),
        **trunk(ours.rstrip("/"), theirs.rstrip("."), IMAGE["depth"]),
    }


TABLES = {
    "bert": bert_table,
    "roberta": bert_table,
    "gpt2": gpt2_table,
    "plain_vit": vit_table,
    "vit": clip_vit_table,
}


def shape(width, depth, heads):
    return dict(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=3 * width,
        attn_implementation="eager",
    )


def hf_config(kind):
    """Of a small tower; what is not named here is HF's own default."""
    import transformers as hf

    pixels = dict(image_size=SIZE, patch_size=PATCH)
    words = dict(vocab_size=VOCABULARY, pad_token_id=PADDING, **shape(**TEXT))
    configs = {
        "bert": lambda: hf.BertConfig(max_position_embeddings=ROWS, **words),
        "roberta": lambda: hf.RobertaConfig(  # two types in HF, one in what it loads
            max_position_embeddings=ROWS + 2,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            **words,
        ),
        "gpt2": lambda: hf.GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=ROWS,
            n_embd=TEXT["width"],
            n_layer=TEXT["depth"],
            n_head=TEXT["heads"],
            n_inner=3 * TEXT["width"],
            bos_token_id=END,
            eos_token_id=END,
            attn_implementation="eager",
        ),
        "plain_vit": lambda: hf.ViTConfig(**pixels, **shape(**IMAGE)),
        "vit": lambda: hf.CLIPVisionConfig(**pixels, **shape(**IMAGE)),
    }
    return configs[kind]()


def our_tower(kind, **settings):
    """Of the same shape; what is not named here is our own default."""
    pixels = dict(image_size=SIZE, patch_size=PATCH, mlp_ratio=3.0, **IMAGE)
    words = dict(vocab_size=VOCABULARY, length=ROWS, mlp_ratio=3.0, **TEXT)
    towers = {
        "bert": functools.partial(Bert, **words),
        "roberta": functools.partial(Roberta, **words),
        "gpt2": functools.partial(Gpt2, eos_id=END, **words),
        "plain_vit": functools.partial(PlainViT, **pixels),
        "vit": functools.partial(ViT, **pixels),
    }
    return towers[kind](**settings)


def translate(entries, theirs):
    """{their key: array} -> {our path: array}; every key is used."""
    assert {key for key, _ in entries.values()} == set(theirs)
    return {path: change(theirs[key]) for path, (key, change) in entries.items()}


def arrays_of(model):
    return {k: p.detach().numpy().copy() for k, p in model.named_parameters()}


def gradients_of(model, unused=()):
    """By name; parameters of which autograd knows no use have none: those named."""
    missing = {k for k, p in model.named_parameters() if p.grad is None}
    assert missing == set(unused)
    return {
        k: np.zeros(p.shape, np.float32) if p.grad is None else p.grad.numpy()
        for k, p in model.named_parameters()
    }

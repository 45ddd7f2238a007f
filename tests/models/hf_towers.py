"""HF's towers and ours of the same shape: BERT, RoBERTa, GPT-2, ViT and CLIP's ViT."""

import functools

import numpy as np

from tests.models.clip_pair import LENGTH, PATCH, SIZE, VOCABULARY
from vlp_jax.models.bert import Bert, Roberta
from vlp_jax.models.gpt2 import Gpt2
from vlp_jax.models.vit import PlainViT, ViT
from vlp_jax.porting import hf_dual_encoder
from vlp_jax.porting.hf_image_towers import IMAGES
from vlp_jax.porting.hf_text_towers import TEXTS
from vlp_jax.porting.weights import to_ours

IMAGE = dict(width=24, depth=2, heads=3)
TEXT = dict(width=16, depth=2, heads=2)
PADDING, END = 1, 25  # ids of clip_pair's captions
ROWS = LENGTH + 2  # of a table of positions: more than the captions have tokens
# Names of ViTModel in memory, and in files, which the tables of the ports are for.
SAVED = {
    "layers.": "encoder.layer.",
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def saved(kind, theirs):
    """{key in files: array} of {key in memory: array}."""
    found = {}
    for key, array in theirs.items():
        for one, other in SAVED.items() if kind == "plain_vit" else ():
            key = key.replace(one, other)
        found[key] = array
    return found


def translate_tower(kind, theirs):
    """{their key: array} -> {our path: array} of one tower; every key is used."""
    part, tower, size, prefix = (
        ("image/", IMAGES[kind], IMAGE, "vision_model.")
        if kind in IMAGES
        else ("text/", TEXTS[kind], TEXT, "text_model.")
    )
    named = {prefix + key: array for key, array in saved(kind, theirs).items()}
    found = to_ours(tower.rules(size), named)
    return {path.removeprefix(part): array for path, array in found.items()}


def translate(image, text, theirs):
    """The same of a dual encoder."""
    model = {"image": {"kind": image, **IMAGE}, "text": {"kind": text, **TEXT}}
    return to_ours(hf_dual_encoder.rules(model), saved(image, theirs))


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

"""The text towers of transformers that dual encoders join: BERT, RoBERTa and GPT-2.

GPT-2 keeps its matrices as we do, rows are inputs, and those of query, key and value
side by side.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vlp_jax.porting import hf_clip
from vlp_jax.porting.description import Description, Settings, refuse_unless
from vlp_jax.porting.weights import Rule, beside, linear, norm, rule

BERT_NORMS = ("attention.output.LayerNorm", "output.LayerNorm")
ROBERTA_PADDING = 1  # its positions start behind this id
GPT2_NAMES = {
    "hidden_size": "n_embd",
    "intermediate_size": "n_inner",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "hidden_act": "activation_function",
    "layer_norm_eps": "layer_norm_epsilon",
    "max_position_embeddings": "n_positions",
}


class Tower(NamedTuple):
    """A kind of tower of ours, there.

    model_type: in its config. rules: settings of the tower -> its table of weights.
    write: -> its config; ConfigError for what it lacks. read: config -> settings.
    """

    model_type: str
    rules: Callable[[Settings], list[Rule]]
    write: Callable[[Description], Settings]
    read: Callable[[Settings], Settings]


def layers(ours: str, theirs: str, depth: int, attention: str, norms: tuple[str, str]):
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


def bert_trunk(ours: str, theirs: str, depth: int, types: bool = True) -> list[Rule]:
    """BertModel and RobertaModel without their poolers; types: of tokens, if any."""
    part = f"{theirs}.embeddings"
    names = {"token": "word", "position": "position"}
    names |= {"type": "token_type"} if types else {}
    return [
        *(
            Rule((f"{ours}/{one}_embedding",), f"{part}.{other}_embeddings.weight")
            for one, other in names.items()
        ),
        *norm(f"{ours}/norm_pre", f"{part}.LayerNorm"),
        *layers(ours, theirs, depth, "self", BERT_NORMS),
    ]


def bert_cross_attention(ours: str, theirs: str, depth: int) -> list[Rule]:
    """Of a BERT that looks at a picture, in every layer."""
    found = []
    for i in range(depth):
        block = f"{ours}/encoder/block_{i}"
        layer = f"{theirs}.encoder.layer.{i}.crossattention"
        for name in ("query", "key", "value"):
            found += linear(f"{block}/cross_attention/{name}", f"{layer}.self.{name}")
        found += linear(f"{block}/cross_attention/out", f"{layer}.output.dense")
        found += norm(f"{block}/norm_cross", f"{layer}.output.LayerNorm")
    return found


def bert_head(ours: str, theirs: str) -> list[Rule]:
    """Scores of tokens, by their embedding."""
    return [
        *linear(f"{ours}/transform", f"{theirs}.transform.dense"),
        *norm(f"{ours}/norm", f"{theirs}.transform.LayerNorm"),
        *rule(f"{ours}/bias", f"{theirs}.bias"),
    ]


def bert(text: Settings) -> list[Rule]:
    """With their poolers."""
    found = bert_trunk("text", "text_model", text["depth"])
    return found + linear("text/pooler", "text_model.pooler.dense")


def gpt2_trunk(ours: str, theirs: str, depth: int) -> list[Rule]:
    """GPT2Model."""
    found = [
        *rule(f"{ours}/token_embedding", f"{theirs}.wte.weight"),
        *rule(f"{ours}/position_embedding", f"{theirs}.wpe.weight"),
        *norm(f"{ours}/norm_post", f"{theirs}.ln_f"),
    ]
    for i in range(depth):
        block, layer = f"{ours}/encoder/block_{i}", f"{theirs}.h.{i}"
        found += norm(f"{block}/norm_1", f"{layer}.ln_1")
        found += norm(f"{block}/norm_2", f"{layer}.ln_2")
        names = ("query", "key", "value")
        found += gpt2_linear(f"{block}/attention", names, f"{layer}.attn.c_attn")
        found += gpt2_linear(f"{block}/attention", ("out",), f"{layer}.attn.c_proj")
        found += gpt2_linear(f"{block}/mlp", ("in",), f"{layer}.mlp.c_fc")
        found += gpt2_linear(f"{block}/mlp", ("out",), f"{layer}.mlp.c_proj")
    return found


def gpt2_linear(ours: str, names: Sequence[str], theirs: str) -> list[Rule]:
    """Linear maps of ours by name, which are one of GPT-2's."""
    return [
        Rule(
            tuple(f"{ours}/{name}/{here}" for name in names),
            f"{theirs}.{there}",
            beside(len(names)),
        )
        for here, there in (("kernel", "weight"), ("bias", "bias"))
    ]


def gpt2(text: Settings) -> list[Rule]:
    return gpt2_trunk("text", "text_model", text["depth"])


def write_bert(description: Description) -> Settings:
    """Of RoBERTa too."""
    text, tokens = description.model["text"], description.tokens
    refuse_unless(
        text["pool"] == "pooler",
        f"model.text.pool is {text['pool']!r}; transformers' dual encoder takes the "
        "text from 'pooler'",
    )
    if text["kind"] == "roberta":
        refuse_unless(
            tokens.pad_id == ROBERTA_PADDING,
            f"the id of padding is {tokens.pad_id}; RoBERTa counts positions by it, "
            f"from {ROBERTA_PADDING} on",
        )
    positions = tokens.length + text["first_position"]
    ids = hf_clip.write_text_ids(description) | {"max_position_embeddings": positions}
    types = {"type_vocab_size": text["token_types"]}
    return hf_clip.write_tower(text) | ids | types


def write_gpt2(description: Description) -> Settings:
    text = description.model["text"]
    refuse_unless(text["causal"], "GPT-2 is causal; model.text.causal is False")
    found = hf_clip.write_tower(text) | hf_clip.write_text_ids(description)
    return {GPT2_NAMES.get(key, key): value for key, value in found.items()}


def read_bert(config: Settings) -> Settings:
    """ConfigError for a decoder, whose tokens see none behind them."""
    refuse_unless(
        not config.get("is_decoder") and not config.get("add_cross_attention"),
        "text_config has is_decoder or add_cross_attention; expected an encoder that "
        "reads in both directions",
    )
    return {
        "token_types": config["type_vocab_size"],
        "first_position": first_position(config),
        **hf_clip.read_tower(config),
    }


def read_gpt2(config: Settings) -> Settings:
    """ConfigError for attention that is scaled otherwise."""
    refuse_unless(
        config["scale_attn_weights"] and not config["scale_attn_by_inverse_layer_idx"],
        "text_config scales GPT-2's attention otherwise; expected scale_attn_weights "
        "and no scale_attn_by_inverse_layer_idx, as every published one has",
    )
    found = {ours: config[theirs] for ours, theirs in GPT2_NAMES.items()}
    found["intermediate_size"] = found["intermediate_size"] or 4 * found["hidden_size"]
    return hf_clip.read_tower(found)


def first_position(text: Settings) -> int:
    """Rows of the position embedding that no token uses."""
    return text["pad_token_id"] + 1 if text.get("model_type") == "roberta" else 0


TEXTS = {
    "bert": Tower("bert", bert, write_bert, read_bert),
    "roberta": Tower("roberta", bert, write_bert, read_bert),
    "gpt2": Tower("gpt2", gpt2, write_gpt2, read_gpt2),
}

"""A model with one of its heads alone, for libraries that have a class for each."""

import dataclasses

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.models.mixed_bert import WRITING
from vlp_jax.portable import Portable
from vlp_jax.porting.weights import Arrays

# Settings of a model that say whether it has a head; `answers` are in no config.
SWITCHES = ("matching", "masked_lm", "captioning", "answering")


def with_head(model: Portable, head: str) -> Portable:
    """The model without the parameters of its other heads.

    head: one of SWITCHES, or answers. ConfigError for one that the model has not.
    """
    there = {name: bool(model.config.model.get(name)) for name in SWITCHES}
    there["answers"] = bool(model.answers)
    if not lookup(there, head, "head"):
        has = ", ".join(name for name in there if there[name]) or "none"
        raise ConfigError(f"{model.name} has no head {head!r}; it has: {has}")
    if model.config.model.kind == "blip":
        model = _blip_apart(model, head)
    config = model.config.copy_and_resolve_references()
    for name in SWITCHES:
        if there[name]:
            config.model[name] = name == head
    answers = model.answers if head == "answers" else ()
    found = dataclasses.replace(model, config=config, answers=answers)
    left = trees.flatten(trees.union(found.shapes()))
    parameters = {k: x for k, x in model.parameters.items() if k in left}
    found = dataclasses.replace(found, parameters=parameters)
    found.check()
    return found


def _blip_apart(model: Portable, head: str) -> Portable:
    """A BLIP whose head shares nothing with others, without a scale of likenesses.

    Its decoder becomes a tower of its own. A question is read from the tokenizer's
    start token: its embedding and that of [ENC] change places, so that it is the same.
    """
    config = model.config.copy_and_resolve_references()
    block, arrays = config.model, dict(model.parameters)
    block.has_scale = False
    if head == "matching":
        block.decoder.kind = None
        return dataclasses.replace(model, config=config)
    if block.decoder.kind is None:
        for key, value in block.text.items():
            if key in block.decoder and value is not None:
                block.decoder[key] = value
        block.decoder.kind = "bert"
        arrays |= decoder_alone(arrays)
    block.embedding_size = None
    if head == "captioning":
        block.text.kind = None
    elif block.encode_token:
        table = arrays["text/token_embedding"].copy()
        table[[model.tokenizer.bos_id, -1]] = table[[-1, model.tokenizer.bos_id]]
        arrays["text/token_embedding"], block.encode_token = table, False
    return dataclasses.replace(model, config=config, parameters=arrays)


def decoder_alone(arrays: Arrays) -> Arrays:
    """The parameters of a decoder, of the tower that it shares with an encoder."""
    shared, own = {}, {}
    for path, x in arrays.items():
        start, _, rest = path.partition("/")
        if start == "token_head":
            own[f"decoder/head/{rest}"] = x
        elif start == "text" and WRITING in rest:
            own[f"decoder/{rest.replace(WRITING, '')}"] = x
        elif start == "text":
            shared[f"decoder/{rest}"] = x
    return shared | own

"""The keywords of builders as settings of a config, none of them given yet."""

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections.config_dict import placeholder as not_given

from vlp_jax.core.lookup import parameters_of
from vlp_jax.models import PARTS

# What build.py hands to the builders: not the user's to set.
GIVEN = (
    "mesh",
    "source",
    "train",
    *PARTS,
    "image_mean",
    "image_std",
    "answers",
    "classes",
    "embedding_width",
    "vocab_size",
    "length",
    "bos_id",
    "eos_id",
    "pad_id",
    "mask_id",
    "word_borders",
    "class_prompts",
    "learning_rate",
    "rate_factor",
    "total_steps",
)


def _type_of(annotation: Any) -> type:
    """The plain type that the command line should parse for an annotation."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    options = typing.get_args(annotation) if union else (annotation,)
    origins = [typing.get_origin(option) or option for option in options]
    if str in origins and Sequence in origins:
        return object  # a name, or several in Python's notation
    if tuple in origins or Sequence in origins:
        return tuple
    return next((o for o in origins if o in (bool, int, float, str)), str)


def keywords(builders: Mapping[str, Callable], hidden: tuple[str, ...] = GIVEN):
    """The keywords of all kinds in a table, none of them given."""
    found: dict[str, type] = {}
    for builder in builders.values():
        for name, parameter in parameters_of(builder).items():
            kind = _type_of(parameter.annotation)
            # A table's name for one kind, several fields for another: any will do.
            found[name] = kind if found.get(name, kind) is kind else object
    return {k: not_given(t) for k, t in found.items() if k not in hidden}

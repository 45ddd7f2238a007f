"""A model with one of its heads alone, for libraries that have a class for each."""

import dataclasses

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.portable import Portable

# Settings of a model that say whether it has a head; `answers` are in no config.
SWITCHES = ("matching", "masked_lm")


def with_head(model: Portable, head: str) -> Portable:
    """The model without the parameters of its other heads.

    head: matching, masked_lm or answers. ConfigError for one that the model has not.
    """
    config = model.config.copy_and_resolve_references()
    there = {name: bool(config.model.get(name)) for name in SWITCHES}
    there["answers"] = bool(model.answers)
    if not lookup(there, head, "head"):
        has = ", ".join(name for name in there if there[name]) or "none"
        raise ConfigError(f"{model.name} has no head {head!r}; it has: {has}")
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

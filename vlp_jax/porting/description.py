"""All of a model but its weights, by our names, and what families are."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from vlp_jax.core.errors import ConfigError
from vlp_jax.porting.weights import Rule

Settings = dict[str, Any]
Key, Value = TypeVar("Key"), TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class Tokens:
    """What a model knows of its tokenizer.

    Read from a config of theirs: eos_id is None where the model does not look for it,
    canonicalise where their tokenizer does that itself; start_id is what a decoder
    begins to write from, None of models without one.
    """

    vocab_size: int
    length: int
    eos_id: int | None
    bos_id: int | None = None
    pad_id: int | None = None
    canonicalise: str | None = "none"
    start_id: int | None = None


@dataclasses.dataclass(frozen=True)
class Description:
    """model: the settings of config.model; preprocessing: those of that name.

    Where answers are classes, model["answers"] holds their names.
    """

    model: Settings
    preprocessing: Settings
    tokens: Tokens


@dataclasses.dataclass(frozen=True)
class Family:
    """Models of one architecture in one foreign format.

    kinds: the (image, text) towers of ours that it has, or the (kind,) of a model.
    rules: our model settings -> its table of weights.
    write: Description -> their config; ConfigError for what they cannot express.
    read: their config -> our model settings; ConfigError for what we lack.
    ignored: patterns of keys without weights.
    renamed: {a key of old files: as it is called today}.
    classes: those of transformers that have to be loaded by their own names.
    own_tokens: rows of their token embedding behind those of the tokenizer.
    """

    kinds: tuple[str, ...]
    rules: Callable[[Settings], list[Rule]]
    write: Callable[[Description], Settings]
    read: Callable[[Settings], Settings]
    ignored: tuple[str, ...] = ()
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] = ()
    own_tokens: int = 0


def family_of(table: Mapping[str, Family], model: Settings, what: str) -> Family:
    """The family of a table that has a model, or its towers."""
    prompted = model.get("image", {}).get("prompts") or model.get("conditional_prompts")
    refuse_unless(
        not prompted,
        f"{what} has no place for visual or conditional prompts "
        "(model.image.prompts, model.conditional_prompts); keep the model as vlp:DIR",
    )
    kind = model.get("kind") or "two_tower"
    kinds, given = (kind,), f"a model of kind {kind}"
    if kind == "two_tower":
        kinds = (model["image"]["kind"], model["text"]["kind"])
        given = f"the towers {' with '.join(kinds)}"
    for family in table.values():
        if family.kinds == kinds:
            return family
    known = "; ".join(" with ".join(family.kinds) for family in table.values())
    raise ConfigError(f"{what} has no place for {given}; it has some for: {known}")


def translated(names: Mapping[Key, Value], value: Key, what: str) -> Value:
    """The other side's name for a value, or a ConfigError."""
    if value not in names:
        known = ", ".join(map(str, names))
        raise ConfigError(f"{what} is {value!r}, which has no equal there ({known})")
    return names[value]


def refuse_unless(holds: bool, said: str) -> None:
    if not holds:
        raise ConfigError(said)


def hidden_width(tower: Settings) -> int:
    """Between the two maps of a tower's MLPs."""
    return round(tower["width"] * tower["mlp_ratio"])

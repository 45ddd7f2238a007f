"""Prompt templates: named sets in assets/templates.json, or written in the config."""

import json
from collections.abc import Sequence
from pathlib import Path

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Source

TEMPLATES = Path(__file__).parent / "assets" / "templates.json"
USUAL = "photo"


def chosen(name: str | Sequence[str] | None, source: Source) -> tuple[str, ...]:
    """The templates that a config names, else the source's own, else the usual ones."""
    if name is None:
        name = getattr(source, "templates", ()) or USUAL
    return templates(name)


def templates(name: str | Sequence[str]) -> tuple[str, ...]:
    """The templates called `name`, or `name` itself if it is a sequence of them.

    Raises ConfigError for an unknown name, an empty sequence and a template without
    the '{}' that stands for the class.
    """
    if isinstance(name, str):
        named = json.loads(TEMPLATES.read_text(encoding="utf-8"))
        name = lookup(named, name, "prompt templates")
    if not name:
        raise ConfigError("templates is empty; give at least ('a photo of a {}',)")
    for template in name:
        if "{}" not in template:
            raise ConfigError(
                f"template {template!r} has no '{{}}' where the class name goes"
            )
    return tuple(name)


def fill(template: str, class_names: Sequence[str]) -> list[str]:
    """One prompt per class. Braces in a class name mean nothing."""
    return [template.replace("{}", class_name) for class_name in class_names]

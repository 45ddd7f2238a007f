"""Prompt templates: named sets in assets/templates.json, or a person's own.

The published ones are those of CLIP's zero-shot evaluation (Radford et al. 2021;
openai/CLIP, data/prompts.md and the notebook on ImageNet; MIT licence), letter by
letter as clip_benchmark 1.6.2 has them (MIT licence): openai_imagenet80, and a set for
each set of class names (data/class_names.py) by its name. Those of svhn, resisc45 (its
'sattelite' too) and pcam are clip_benchmark's own; openai_resisc45 has the 18 of CLIP.
openai_simple7 are open_clip's SIMPLE_IMAGENET_TEMPLATES (MIT licence).
"""

import json
from collections.abc import Sequence
from pathlib import Path

from vlp_jax.core.class_prompts import check_template
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.named_texts import named_texts
from vlp_jax.core.types import Source

TEMPLATES = Path(__file__).parent / "assets" / "templates.json"
USUAL = "photo"


def chosen(name: str | Sequence[str] | None, source: Source) -> tuple[str, ...]:
    """The templates that a config names, else the source's own, else the usual ones."""
    if name is None:
        name = getattr(source, "templates", ()) or USUAL
    return templates(name)


def names() -> tuple[str, ...]:
    """Those of the sets of assets/templates.json."""
    return tuple(_sets())


def _sets() -> dict[str, list[str]]:
    return json.loads(TEMPLATES.read_text(encoding="utf-8"))


def templates(name: str | Sequence[str]) -> tuple[str, ...]:
    """The set called `name`, the lines of the text file there, or `name` itself.

    '{}' stands for the class; so does '{c}', as clip_benchmark writes it. Raises
    ConfigError for an unknown name, an empty sequence and a template with neither.
    """
    found = named_texts(name, _sets(), "prompt templates")
    if not found:
        raise ConfigError("templates is empty; give at least ('a photo of a {}',)")
    found = tuple(template.replace("{c}", "{}") for template in found)
    for template in found:
        check_template(template)
    return found

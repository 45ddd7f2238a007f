"""Prompts of classes, in which some words may be learned instead of written.

A template such as '[v1] [v2] [v3] [v4] {}' has '{}' where the name of the class goes,
and context tokens: [v1], [v2], ... are shared by all classes, [c1], [c2], ... are each
class's own (CoOp: Zhou et al. 2022, arXiv:2109.01134, unified and class-specific
context). The name may stand at the end, in the middle or in front of them.
"""

import re
from collections.abc import Sequence

from vlp_jax.core.errors import ConfigError

CONTEXT = re.compile(r"\[(?:v\d+|c\d+(?:_\d+)?)\]")  # as a tokenizer has them
OWN = re.compile(r"\[(c\d+)\]")  # of each class; in class 7 it is [c1_7]


def fill(template: str, class_names: Sequence[str]) -> list[str]:
    """One prompt per class. Braces in a class name mean nothing."""
    return [
        OWN.sub(rf"[\1_{number}]", template).replace("{}", name)
        for number, name in enumerate(class_names)
    ]


def check_template(template: str) -> None:
    """ConfigError where there is no place for the name of a class."""
    if "{}" not in template:
        raise ConfigError(
            f"template {template!r} has no '{{}}' where the class name goes; write it "
            "as 'a photo of a {}'"
        )


def context_tokens(template: str, class_names: Sequence[str]) -> tuple[str, ...]:
    """The context tokens of all prompts, in the order in which they first occur."""
    found = (
        token for text in fill(template, class_names) for token in CONTEXT.findall(text)
    )
    return tuple(dict.fromkeys(found))

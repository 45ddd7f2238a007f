"""Names that a caption can use, for classes that datasets only number."""

import functools
import json
import re
from collections.abc import Iterable
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
WORDNET = re.compile(r"n\d{8}")


@functools.cache
def imagenet_names() -> dict[str, str]:
    """WordNet id -> name of ImageNet's 1,000 classes, in the order of the labels.

    The names are those that OpenAI chose for CLIP's zero-shot evaluation, as open_clip
    has them (MIT licence): WordNet's own are often ambiguous ('crane', twice).
    """
    text = (ASSETS / "imagenet_classes.json").read_text(encoding="utf-8")
    return json.loads(text)


def readable(names: Iterable[str]) -> tuple[str, ...]:
    """'n02640242' becomes 'sturgeon', where ImageNet has it; '_' becomes a space."""
    return tuple(
        imagenet_names().get(name, name)
        if WORDNET.fullmatch(name)
        else name.replace("_", " ")
        for name in names
    )

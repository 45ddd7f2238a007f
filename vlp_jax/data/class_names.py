"""Names that a caption can use, for classes that datasets only number.

assets/classes.json has those of the common sets, in the order of their labels: letter
by letter as clip_benchmark 1.6.2 has them (MIT licence; en_classnames.json). Those that
it takes from datasets' files are as in CLIP's zero-shot evaluation (Radford et al.
2021; openai/CLIP, data/prompts.md, MIT licence). Orders that one might not expect:

- pets, eurosat, sun397: data/prompts.md lists some in another order than the labels';
  here it is the labels'.
- caltech101: the 102 folders, background first, capitals before small letters.
  TFDS sorts them otherwise: caltech101_vtab. (torchvision leaves the background out.)
- flowers102, cars: as the datasets number them (from 1); folders named so sort
  otherwise.
- fer2013: its folders, sorted; the CSV file's numbers have 'neutral' last.
- country211: the two letters of the countries, sorted (AD, AE, AF, ...).
- svhn: 'zero' is label 0, which the original files call 10.
"""

import functools
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from vlp_jax.core.named_texts import named_texts

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


@functools.cache
def class_sets() -> dict[str, tuple[str, ...]]:
    """Set -> the names of its classes, in the order of the labels; 'imagenet', too."""
    common = json.loads((ASSETS / "classes.json").read_text(encoding="utf-8"))
    sets = {name: tuple(classes) for name, classes in common.items()}
    return sets | {"imagenet": tuple(imagenet_names().values())}


def named_classes(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """What `class_names` of a source says; () where it is not given.

    A set of `class_sets`, a text file with a name a line, or the names themselves.
    Raises ConfigError for what is none of these.
    """
    return () if given is None else named_texts(given, class_sets(), "class_names")


def readable(names: Iterable[str]) -> tuple[str, ...]:
    """'n02640242' becomes 'sturgeon', where ImageNet has it; '_' becomes a space."""
    return tuple(
        imagenet_names().get(name, name)
        if WORDNET.fullmatch(name)
        else name.replace("_", " ")
        for name in names
    )

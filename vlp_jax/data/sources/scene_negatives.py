"""Captions of a digit scene that are wrong in exactly one attribute.

Each is the first caption of the scene but for the words that tell the attribute, so
that only who reads these words and sees the picture can tell the two apart (as in
SugarCrepe, Hsieh et al. 2023, arXiv:2306.14610).
"""

from collections.abc import Sequence

import numpy as np

from vlp_jax.data.sources.scene import COLOUR_NAMES, SIZE_NAMES, Scene
from vlp_jax.data.sources.scene_words import TEMPLATES, describe

VALUES = {"digit": range(10), "colour": COLOUR_NAMES, "size": SIZE_NAMES}


def other_value(values: Sequence, value, draw: float):
    """One of the other values, for a draw of 0..1."""
    others = [other for other in values if other != value]
    return others[int(draw * len(others))]


def other_orders(scene: Scene) -> list[tuple[str, list[int]]]:
    """(relation, digits in their order) of scenes that differ in nothing else.

    Two digits swap places, where they are not alike, or a row becomes a column.
    """
    count = len(scene.digits)
    if count == 1:
        return []
    found = []
    for first in range(count):
        for second in range(first + 1, count):
            if scene.digits[first] != scene.digits[second]:
                order = list(range(count))
                order[first], order[second] = second, first
                found.append((scene.relation, order))
    other = "column" if scene.relation == "row" else "row"
    return [*found, (other, list(range(count)))]


def negatives(
    scene: Scene, draws: np.ndarray, rng: np.random.Generator
) -> dict[str, str]:
    """{what is wrong: caption}: 'digit', 'colour', 'size' and, of several, 'relation'.

    draws [digits, 2]: those that the scene's first caption is worded by.
    """
    draws, count, found = draws.tolist(), len(scene.digits), {}
    right = [*map(describe, scene.digits, draws)]
    chosen = rng.random((len(VALUES) + 1, 2)).tolist()
    for (kind, values), (place, value) in zip(VALUES.items(), chosen[1:], strict=True):
        place = int(place * count)
        digit, named = scene.digits[place], list(right)
        other = other_value(values, getattr(digit, kind), value)
        named[place] = describe(digit._replace(**{kind: other}), draws[place])
        found[kind] = TEMPLATES[scene.relation, count][0].format(*named)
    orders = other_orders(scene)
    if orders:
        relation, order = orders[int(chosen[0][0] * len(orders))]
        named = [right[place] for place in order]
        found["relation"] = TEMPLATES[relation, count][0].format(*named)
    return found

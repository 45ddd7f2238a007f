"""What a digit scene may show can be told apart."""

import itertools

import numpy as np

from vlp_jax.data.sources.scene import COLOURS, SIZES, Digit, Scene


def test_colours_stay_apart_when_they_are_darkened():
    """A scene paints a digit with 0.85 to 1 of its colour (digit_scenes.render)."""
    for one, other in itertools.combinations(COLOURS.values(), 2):
        shades = [np.outer([0.85, 0.925, 1.0], colour) for colour in (one, other)]
        apart = np.linalg.norm(shades[0][:, None] - shades[1][None], axis=-1)
        assert apart.min() > 40  # of 255; the noise has a deviation of 10


def test_the_bigger_size_is_more_than_a_pixel_bigger_on_the_smallest_canvas():
    assert round(SIZES["big"] * 24) - round(SIZES["small"] * 24) >= 2


def test_scenes_are_values():
    digit = Digit(3, "red", "big")
    assert Scene("row", (digit, digit)) == Scene("row", (digit, Digit(3, "red", "big")))
    assert len({Scene("row", (digit,)), Scene("column", (digit,))}) == 2
